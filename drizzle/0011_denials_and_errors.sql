-- A denial means that a limit said no; an error is everything else. Every row stays; its kind follows from its code.
ALTER TABLE "refusal_rollups" RENAME TO "api_error_rollups";--> statement-breakpoint
ALTER TABLE "api_error_rollups" RENAME COLUMN "reason" TO "code";--> statement-breakpoint
ALTER TABLE "api_error_rollups" RENAME CONSTRAINT "refusal_rollups_team_id_bucket_start_reason_pk" TO "api_error_rollups_team_id_bucket_start_code_pk";--> statement-breakpoint
ALTER TABLE "api_error_rollups" ADD COLUMN "kind" text DEFAULT 'error' NOT NULL;--> statement-breakpoint
UPDATE "api_error_rollups" SET "kind" = 'denial'
WHERE "code" IN ('insufficient_quota', 'rate_limit_exceeded', 'hold_too_large', 'too_many_users');--> statement-breakpoint
ALTER TABLE "api_error_rollups" ALTER COLUMN "kind" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "api_error_rollups" ADD CONSTRAINT "api_error_rollups_kind" CHECK (kind in ('denial', 'error'));--> statement-breakpoint
ALTER TABLE "warnings" RENAME COLUMN "refused" TO "denied";
