CREATE TABLE "secrets" (
	"name" text PRIMARY KEY NOT NULL,
	"sealed" text NOT NULL,
	"key_id" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"changed_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
-- As before, without what is encrypted.
CREATE OR REPLACE FUNCTION audit_row("row" jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Amounts as text: a JSON number becomes a float in whoever reads it.
	RETURN ("row" - ARRAY['hash', 'previous_hash', 'changed_at_version', 'warned_at_version', 'sealed'])
		|| CASE WHEN "row" ? 'amount' THEN jsonb_build_object('amount', "row" ->> 'amount') ELSE '{}' END
		|| CASE WHEN "row" ? 'max_hold' THEN jsonb_build_object('max_hold', "row" ->> 'max_hold') ELSE '{}' END
		|| CASE WHEN "row" ? 'max_unknown' THEN jsonb_build_object('max_unknown', "row" ->> 'max_unknown') ELSE '{}' END
		|| CASE WHEN "row" ? 'amount_usd' THEN jsonb_build_object('amount_usd', "row" ->> 'amount_usd') ELSE '{}' END;--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION audit_change('secret', 'name', '');
