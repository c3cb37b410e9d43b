ALTER TABLE "teams" ADD COLUMN "on_client_gone" text;--> statement-breakpoint
ALTER TABLE "teams" ADD CONSTRAINT "teams_on_client_gone" CHECK ("teams"."on_client_gone" in ('finish', 'cancel'));