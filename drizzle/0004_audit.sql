-- The audit log: every changed row of what admins say, before and after, in the transaction of the change. Who it was
-- is what the transaction set as tollgate.actor (src/store/catalog-version.ts); without it, a person at the database.
CREATE FUNCTION audit_row("row" jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Amounts as text: a JSON number becomes a float in whoever reads it.
	RETURN ("row" - ARRAY['hash', 'previous_hash', 'changed_at_version'])
		|| CASE WHEN "row" ? 'amount' THEN jsonb_build_object('amount', "row" ->> 'amount') ELSE '{}' END
		|| CASE WHEN "row" ? 'amount_usd' THEN jsonb_build_object('amount_usd', "row" ->> 'amount_usd') ELSE '{}' END;
--> statement-breakpoint
-- Arguments: the noun, the column of its id, the column of its team ('' for none).
CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	was jsonb := to_jsonb(OLD);
	now_is jsonb := to_jsonb(NEW);
	known jsonb := coalesce(now_is, was);
	action text;
BEGIN
	action := CASE
		WHEN TG_OP = 'INSERT' THEN 'create'
		WHEN TG_OP = 'DELETE' THEN 'delete'
		WHEN was -> 'hash' IS DISTINCT FROM now_is -> 'hash' THEN 'rotate'
		WHEN audit_row(was) = audit_row(now_is) THEN NULL
		WHEN was ->> 'revoked_at' IS NULL AND now_is ->> 'revoked_at' IS NOT NULL THEN 'revoke'
		WHEN was ->> 'deleted_at' IS NULL AND now_is ->> 'deleted_at' IS NOT NULL THEN 'delete'
		ELSE 'change' END;
	IF action IS NOT NULL THEN
		INSERT INTO audit_log (id, at, actor, action, noun, noun_id, team_id, "before", "after")
		VALUES (gen_random_uuid(), date_trunc('milliseconds', tollgate_now()),
			coalesce(nullif(current_setting('tollgate.actor', true), ''), 'database ' || session_user),
			action, TG_ARGV[0], known ->> TG_ARGV[1], (known ->> nullif(TG_ARGV[2], ''))::uuid,
			audit_row(was), audit_row(now_is));
	END IF;
	RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON teams FOR EACH ROW EXECUTE FUNCTION audit_change('team', 'id', 'id');
--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON keys FOR EACH ROW EXECUTE FUNCTION audit_change('key', 'id', 'team_id');
--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON limits FOR EACH ROW EXECUTE FUNCTION audit_change('limit', 'id', 'team_id');
--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON grants FOR EACH ROW EXECUTE FUNCTION audit_change('grant', 'id', 'team_id');
--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON plans FOR EACH ROW EXECUTE FUNCTION audit_change('plan', 'name', '');
--> statement-breakpoint
-- Prices and bounds that come with Tollgate are its release notes' matter.
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON prices FOR EACH ROW WHEN (NEW.origin = 'admin') EXECUTE FUNCTION audit_change('price', 'id', '');
--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON models FOR EACH ROW WHEN (starts_with(NEW.source, 'admin: ')) EXECUTE FUNCTION audit_change('model', 'model', '');
