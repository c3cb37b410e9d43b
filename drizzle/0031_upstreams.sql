ALTER TABLE "usage_events" ADD COLUMN "upstream" text;--> statement-breakpoint
ALTER TABLE "objects" ADD COLUMN "upstream" text;