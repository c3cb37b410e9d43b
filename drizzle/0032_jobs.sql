CREATE TABLE "jobs" (
	"team_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"key_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"state" text NOT NULL,
	"upstream" text,
	"upstream_id" text,
	"upstream_status" text,
	"model" text NOT NULL,
	"hold" jsonb NOT NULL,
	"terms" jsonb NOT NULL,
	"progress" jsonb NOT NULL,
	"held_usd" numeric(24, 12) NOT NULL,
	"forecast_usd" numeric(24, 12),
	"settled_usd" numeric(24, 12),
	"failures" integer DEFAULT 0 NOT NULL,
	"problem" text,
	"created_at" timestamp with time zone NOT NULL,
	"next_poll_at" timestamp with time zone NOT NULL,
	"fence" bigint DEFAULT 0 NOT NULL,
	"followed_by" uuid,
	"followed_until" timestamp with time zone,
	"ended_at" timestamp with time zone,
	CONSTRAINT "jobs_team_id_id_pk" PRIMARY KEY("team_id","id"),
	CONSTRAINT "jobs_kind" CHECK ("jobs"."kind" in ('fine_tuning', 'batch', 'response')),
	CONSTRAINT "jobs_state" CHECK ("jobs"."state" in ('asked', 'running', 'settled', 'voided', 'unknown'))
);
--> statement-breakpoint
-- Without the name of the table: in its partitions it is another.
ALTER TABLE "objects" DROP CONSTRAINT "objects_kind";--> statement-breakpoint
CREATE INDEX "jobs_due" ON "jobs" USING btree ("next_poll_at") WHERE ended_at is null;--> statement-breakpoint
CREATE INDEX "jobs_created" ON "jobs" USING btree ("created_at","id");--> statement-breakpoint
ALTER TABLE "objects" ADD CONSTRAINT "objects_kind" CHECK ("kind" in ('response', 'conversation', 'stored_completion', 'file', 'upload', 'upload_part', 'vector_store', 'file_batch', 'container', 'batch', 'model', 'fine_tuning_job'));