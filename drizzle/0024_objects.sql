CREATE TABLE "conversation_calls" (
	"team_id" uuid NOT NULL,
	"conversation_id" text NOT NULL,
	"id" uuid NOT NULL,
	"started_at" timestamp with time zone NOT NULL,
	"weight" jsonb NOT NULL,
	CONSTRAINT "conversation_calls_team_id_conversation_id_id_pk" PRIMARY KEY("team_id","conversation_id","id")
);
--> statement-breakpoint
CREATE TABLE "objects" (
	"team_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"id" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"names" text[] NOT NULL,
	"weight" jsonb NOT NULL,
	CONSTRAINT "objects_team_id_kind_id_expires_at_pk" PRIMARY KEY("team_id","kind","id","expires_at"),
	CONSTRAINT "objects_kind" CHECK ("objects"."kind" in ('response', 'conversation'))
) PARTITION BY RANGE ("expires_at");
--> statement-breakpoint
CREATE INDEX "objects_names" ON "objects" USING gin ("names");--> statement-breakpoint
-- What no month takes (src/store/partitions.ts makes the months), and what has no end.
CREATE TABLE "objects_default" PARTITION OF "objects" DEFAULT;
--> statement-breakpoint
CREATE TABLE "objects_kept" PARTITION OF "objects" FOR VALUES FROM ('9999-01-01T00:00:00Z') TO (MAXVALUE);
--> statement-breakpoint
-- As tollgate_make_partition does it for events, with the rights of the owner.
DO $$ BEGIN EXECUTE format($create$
CREATE FUNCTION tollgate_make_object_partition("month" timestamp with time zone) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
DECLARE
  first_day timestamp := date_trunc('month', "month" AT TIME ZONE 'UTC');
  starts_at text := to_char(first_day, 'YYYY-MM-DD"T00:00:00Z"');
  ends_at text := to_char(first_day + interval '1 month', 'YYYY-MM-DD"T00:00:00Z"');
  partition text := to_char(first_day, '"objects_"YYYY_MM');
BEGIN
  PERFORM pg_advisory_xact_lock(8655428301);
  IF to_regclass(partition) IS NOT NULL THEN RETURN false; END IF;
  LOCK TABLE objects_default IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('CREATE TABLE %%I (LIKE objects INCLUDING ALL)', partition);
  EXECUTE format('WITH moved AS (DELETE FROM objects_default WHERE expires_at >= %%L AND expires_at < %%L RETURNING *) INSERT INTO %%I SELECT * FROM moved', starts_at, ends_at, partition);
  EXECUTE format('ALTER TABLE objects ATTACH PARTITION %%I FOR VALUES FROM (%%L) TO (%%L)', partition, starts_at, ends_at);
  RETURN true;
END $body$
$create$, current_schema()); END $$;--> statement-breakpoint
-- Drops the months that have ended; returns their names.
DO $$ BEGIN EXECUTE format($create$
CREATE FUNCTION tollgate_drop_expired_objects("now" timestamp with time zone) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
DECLARE
  this_month text := to_char("now" AT TIME ZONE 'UTC', '"objects_"YYYY_MM');
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock(8655428301);
  FOR partition IN
    SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'objects'::regclass AND child.relname ~ '^objects_[0-9]{4}_[0-9]{2}$' AND child.relname < this_month
    ORDER BY child.relname
  LOOP
    EXECUTE format('DROP TABLE %%I', partition);
    RETURN NEXT partition;
  END LOOP;
END $body$
$create$, current_schema()); END $$;--> statement-breakpoint
REVOKE ALL ON FUNCTION tollgate_make_object_partition(timestamp with time zone) FROM PUBLIC;--> statement-breakpoint
REVOKE ALL ON FUNCTION tollgate_drop_expired_objects(timestamp with time zone) FROM PUBLIC;
