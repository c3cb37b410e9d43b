CREATE TABLE "notices" (
	"team_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"recipient_id" uuid NOT NULL,
	"topic" text NOT NULL,
	"kind" text NOT NULL,
	"facts" jsonb NOT NULL,
	"raised_at" timestamp with time zone NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone,
	"delivered_at" timestamp with time zone,
	"problem" text,
	CONSTRAINT "notices_team_id_id_pk" PRIMARY KEY("team_id","id"),
	CONSTRAINT "notices_once" UNIQUE("team_id","recipient_id","topic"),
	CONSTRAINT "notices_kind" CHECK ("notices"."kind" in ('warning', 'projection', 'spike', 'weekly', 'monthly'))
);
--> statement-breakpoint
CREATE TABLE "recipients" (
	"id" uuid PRIMARY KEY NOT NULL,
	"team_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"address" text NOT NULL,
	"secret" text,
	"wants" text[] NOT NULL,
	"language" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "recipients_kind" CHECK ("recipients"."kind" in ('email', 'slack', 'teams', 'webhook')),
	CONSTRAINT "recipients_language" CHECK ("recipients"."language" in ('en', 'zh'))
);
--> statement-breakpoint
CREATE INDEX "notices_due" ON "notices" USING btree ("next_attempt_at") WHERE next_attempt_at is not null;--> statement-breakpoint
CREATE INDEX "notices_topic" ON "notices" USING btree ("topic");--> statement-breakpoint
CREATE INDEX "notices_raised" ON "notices" USING btree ("raised_at","id");--> statement-breakpoint
CREATE INDEX "recipients_team" ON "recipients" USING btree ("team_id");