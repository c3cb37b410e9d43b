ALTER TABLE "limits" ADD COLUMN "warn_at" integer[];--> statement-breakpoint
ALTER TABLE "plans" ADD COLUMN "limits" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "plans" ADD COLUMN "models" text[];--> statement-breakpoint
ALTER TABLE "teams" ADD COLUMN "models" text[];--> statement-breakpoint
ALTER TABLE "teams" ADD COLUMN "warned_at_version" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "counters_open" ON "counters" USING btree ("ends_at");--> statement-breakpoint
-- As the audit log has it, and that a team was warned is no change that somebody made.
CREATE OR REPLACE FUNCTION audit_row("row" jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Amounts as text: a JSON number becomes a float in whoever reads it.
	RETURN ("row" - ARRAY['hash', 'previous_hash', 'changed_at_version', 'warned_at_version'])
		|| CASE WHEN "row" ? 'amount' THEN jsonb_build_object('amount', "row" ->> 'amount') ELSE '{}' END
		|| CASE WHEN "row" ? 'amount_usd' THEN jsonb_build_object('amount_usd', "row" ->> 'amount_usd') ELSE '{}' END;
