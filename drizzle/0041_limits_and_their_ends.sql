ALTER TABLE "limit_raises" ADD COLUMN "carried_into" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "limits" ADD COLUMN "on_exhausted" jsonb;--> statement-breakpoint
ALTER TABLE "limits" ADD COLUMN "carry_over" jsonb;--> statement-breakpoint
ALTER TABLE "usage_events" ADD COLUMN "on_exhausted" jsonb;