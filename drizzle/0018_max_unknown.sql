ALTER TABLE "limits" ADD COLUMN "max_unknown" numeric(24, 12);--> statement-breakpoint
-- As before, and what may be charged for unknown outcomes is an amount too.
CREATE OR REPLACE FUNCTION audit_row("row" jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Amounts as text: a JSON number becomes a float in whoever reads it.
	RETURN ("row" - ARRAY['hash', 'previous_hash', 'changed_at_version', 'warned_at_version'])
		|| CASE WHEN "row" ? 'amount' THEN jsonb_build_object('amount', "row" ->> 'amount') ELSE '{}' END
		|| CASE WHEN "row" ? 'max_hold' THEN jsonb_build_object('max_hold', "row" ->> 'max_hold') ELSE '{}' END
		|| CASE WHEN "row" ? 'max_unknown' THEN jsonb_build_object('max_unknown', "row" ->> 'max_unknown') ELSE '{}' END
		|| CASE WHEN "row" ? 'amount_usd' THEN jsonb_build_object('amount_usd', "row" ->> 'amount_usd') ELSE '{}' END;
