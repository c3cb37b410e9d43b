CREATE TABLE "sessions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"key_id" uuid,
	"team_id" uuid,
	"address" text NOT NULL,
	"user_agent" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "sessions_created" ON "sessions" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "sessions_key" ON "sessions" USING btree ("key_id","created_at","id");