CREATE TABLE "audit_log" (
	"id" uuid PRIMARY KEY NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"noun" text NOT NULL,
	"noun_id" text NOT NULL,
	"team_id" uuid,
	"before" jsonb,
	"after" jsonb
);
--> statement-breakpoint
CREATE TABLE "refusal_rollups" (
	"team_id" uuid NOT NULL,
	"bucket_start" timestamp with time zone NOT NULL,
	"reason" text NOT NULL,
	"calls" bigint NOT NULL,
	CONSTRAINT "refusal_rollups_team_id_bucket_start_reason_pk" PRIMARY KEY("team_id","bucket_start","reason")
);
--> statement-breakpoint
ALTER TABLE "keys" ADD COLUMN "previous_hash" text;--> statement-breakpoint
ALTER TABLE "keys" ADD COLUMN "previous_expires_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "audit_log_at" ON "audit_log" USING btree ("at","id");--> statement-breakpoint
CREATE INDEX "audit_log_noun" ON "audit_log" USING btree ("noun","at","id");--> statement-breakpoint
CREATE INDEX "audit_log_noun_id" ON "audit_log" USING btree ("noun_id","at","id");--> statement-breakpoint
CREATE INDEX "audit_log_team" ON "audit_log" USING btree ("team_id","at","id");--> statement-breakpoint
CREATE INDEX "usage_events_time" ON "usage_events" USING btree ("created_at","id");--> statement-breakpoint
ALTER TABLE "keys" ADD CONSTRAINT "keys_previous_hash_unique" UNIQUE("previous_hash");