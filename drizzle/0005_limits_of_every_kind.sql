CREATE TABLE "holds" (
	"team_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"instance_id" uuid NOT NULL,
	"allocations" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "holds_team_id_id_pk" PRIMARY KEY("team_id","id")
);
--> statement-breakpoint
DROP INDEX "counters_source";--> statement-breakpoint
ALTER TABLE "limits" ALTER COLUMN "subject_id" SET DATA TYPE text;--> statement-breakpoint
ALTER TABLE "counters" ALTER COLUMN "subject_id" SET DATA TYPE text;--> statement-breakpoint
UPDATE "counters" SET "subject_id" = "team_id"::text WHERE "subject_id" IS NULL;--> statement-breakpoint
ALTER TABLE "counters" ALTER COLUMN "subject_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "limits" ADD COLUMN "max_hold" numeric(24, 12);--> statement-breakpoint
ALTER TABLE "teams" ADD COLUMN "fail_open" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "counters" ADD COLUMN "rolling_ms" bigint;--> statement-breakpoint
ALTER TABLE "counters" ADD COLUMN "scarce_until" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "usage_events_end_user" ON "usage_events" USING btree ("team_id","end_user","created_at") WHERE end_user is not null;--> statement-breakpoint
CREATE INDEX "counters_source" ON "counters" USING btree ("source_id","starts_at");--> statement-breakpoint
-- The row that whoever makes or moves the organization's own counters locks. Marked as deleted: it is no team of anybody.
INSERT INTO "teams" ("id", "name", "created_at", "deleted_at") VALUES ('00000000-0000-0000-0000-000000000000', '(organization)', tollgate_now(), tollgate_now());
