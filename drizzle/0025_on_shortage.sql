ALTER TABLE "keys" ADD COLUMN "on_shortage" text;--> statement-breakpoint
ALTER TABLE "teams" ADD COLUMN "on_shortage" text;--> statement-breakpoint
ALTER TABLE "keys" ADD CONSTRAINT "keys_on_shortage" CHECK ("keys"."on_shortage" in ('shorten', 'refuse'));--> statement-breakpoint
ALTER TABLE "teams" ADD CONSTRAINT "teams_on_shortage" CHECK ("teams"."on_shortage" in ('shorten', 'refuse'));