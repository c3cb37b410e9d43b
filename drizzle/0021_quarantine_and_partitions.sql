CREATE TABLE "quarantined_events" (
	"team_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"instance_id" uuid NOT NULL,
	"event" text NOT NULL,
	"problem" text NOT NULL,
	"is_charged" boolean NOT NULL,
	"set_aside_at" timestamp with time zone NOT NULL,
	CONSTRAINT "quarantined_events_team_id_id_pk" PRIMARY KEY("team_id","id")
);--> statement-breakpoint
-- Makes the partition of a UTC month, unless it is there. With the rights of the owner, so that a role without CREATE can
-- serve; in a block, because the schema that it is bound to is the installation's.
DO $$ BEGIN EXECUTE format($create$
CREATE FUNCTION tollgate_make_partition("month" timestamp with time zone) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
DECLARE
  first_day timestamp := date_trunc('month', "month" AT TIME ZONE 'UTC');
  starts_at text := to_char(first_day, 'YYYY-MM-DD"T00:00:00Z"');
  ends_at text := to_char(first_day + interval '1 month', 'YYYY-MM-DD"T00:00:00Z"');
  partition text := to_char(first_day, '"usage_events_"YYYY_MM');
BEGIN
  PERFORM pg_advisory_xact_lock(8655428301);
  IF to_regclass(partition) IS NOT NULL THEN RETURN false; END IF;
  -- First, so that no event of the month arrives in the default partition while the others move out.
  LOCK TABLE usage_events_default IN ACCESS EXCLUSIVE MODE;
  -- Attached rather than created in place: that would lock out every reader and writer of the whole table.
  EXECUTE format('CREATE TABLE %%I (LIKE usage_events INCLUDING ALL)', partition);
  EXECUTE format('WITH moved AS (DELETE FROM usage_events_default WHERE created_at >= %%L AND created_at < %%L RETURNING *) INSERT INTO %%I SELECT * FROM moved', starts_at, ends_at, partition);
  EXECUTE format('ALTER TABLE usage_events ATTACH PARTITION %%I FOR VALUES FROM (%%L) TO (%%L)', partition, starts_at, ends_at);
  RETURN true;
END $body$
$create$, current_schema()); END $$;--> statement-breakpoint
REVOKE ALL ON FUNCTION tollgate_make_partition(timestamp with time zone) FROM PUBLIC;
