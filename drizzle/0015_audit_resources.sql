-- The audit log names a resource; `noun` was a word of its own. Every row is kept.
ALTER TABLE "audit_log" RENAME COLUMN "noun" TO "resource";--> statement-breakpoint
ALTER TABLE "audit_log" RENAME COLUMN "noun_id" TO "resource_id";--> statement-breakpoint
ALTER INDEX "audit_log_noun" RENAME TO "audit_log_resource";--> statement-breakpoint
ALTER INDEX "audit_log_noun_id" RENAME TO "audit_log_resource_id";--> statement-breakpoint
-- Arguments: the resource, the column of its id, the column of its team ('' for none).
CREATE OR REPLACE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
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
		INSERT INTO audit_log (id, at, actor, action, resource, resource_id, team_id, "before", "after")
		VALUES (gen_random_uuid(), date_trunc('milliseconds', tollgate_now()),
			coalesce(nullif(current_setting('tollgate.actor', true), ''), 'database ' || session_user),
			action, TG_ARGV[0], known ->> TG_ARGV[1], (known ->> nullif(TG_ARGV[2], ''))::uuid,
			audit_row(was), audit_row(now_is));
	END IF;
	RETURN NULL;
END $$;
