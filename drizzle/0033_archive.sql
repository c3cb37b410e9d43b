CREATE TABLE "archived_months" (
	"month" timestamp with time zone PRIMARY KEY NOT NULL,
	"events" bigint NOT NULL,
	"cost_usd" numeric(24, 12) NOT NULL,
	"files" integer NOT NULL,
	"folder" text NOT NULL,
	"manifest_sha256" text,
	"archived_at" timestamp with time zone,
	"waits_for" text
);
--> statement-breakpoint
CREATE TABLE "usage_charges" (
	"team_id" uuid NOT NULL,
	"id" uuid DEFAULT gen_random_uuid() NOT NULL,
	"day" timestamp with time zone NOT NULL,
	"kind" text NOT NULL,
	"is_late" boolean NOT NULL,
	"model" text NOT NULL,
	"tier" text NOT NULL,
	"operation" text NOT NULL,
	"provenance" text NOT NULL,
	"upstream" text,
	"price_id" text,
	"calls" bigint NOT NULL,
	"input_tokens" bigint NOT NULL,
	"cached_input_tokens" bigint NOT NULL,
	"output_tokens" bigint NOT NULL,
	"cost_usd" numeric(24, 12) NOT NULL,
	CONSTRAINT "usage_charges_team_id_id_pk" PRIMARY KEY("team_id","id"),
	CONSTRAINT "usage_charges_kind" CHECK ("usage_charges"."kind" in ('usage', 'correction'))
);
--> statement-breakpoint
CREATE INDEX "usage_charges_day" ON "usage_charges" USING btree ("team_id","day");--> statement-breakpoint
-- Drops a month of events that was written to files, if it still is what was written; its charges stay. With the rights of
-- the owner, as tollgate_make_partition. Readers of other months wait for the last step alone.
DO $$ BEGIN EXECUTE format($create$
CREATE FUNCTION tollgate_drop_archived("of_month" timestamp with time zone, "written" bigint, "cost" numeric, "in_files" integer, "in_folder" text, "manifest" text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
DECLARE
  first_day timestamp := date_trunc('month', "of_month" AT TIME ZONE 'UTC');
  partition text := to_char(first_day, '"usage_events_"YYYY_MM');
  next_month timestamptz := (first_day + interval '1 month') AT TIME ZONE 'UTC';
  counted bigint;
  summed numeric;
BEGIN
  PERFORM pg_advisory_xact_lock(8655428301);
  IF to_regclass(partition) IS NULL THEN RETURN 'gone'; END IF;
  -- Who reads goes on; who writes to this month waits, and finds it gone.
  EXECUTE format('LOCK TABLE %%I IN SHARE MODE', partition);
  EXECUTE format('SELECT count(*), coalesce(sum(cost_usd), 0) FROM %%I', partition) INTO counted, summed;
  IF counted <> "written" OR summed <> "cost" THEN RETURN 'changed'; END IF;
  EXECUTE format($sum$
    INSERT INTO usage_charges (team_id, day, kind, is_late, model, tier, operation, provenance, upstream, price_id, calls,
      input_tokens, cached_input_tokens, output_tokens, cost_usd)
    SELECT team_id, date_trunc('day', created_at, 'UTC'), 'usage', false, model, coalesce(service_tier, 'default'), operation,
      provenance, upstream, price_id, count(*), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(cost_usd)
    FROM %%1$I WHERE outcome <> 'voided' OR cost_usd <> 0 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    UNION ALL
    SELECT e.team_id, date_trunc('day', e.created_at, 'UTC'), 'correction', c.created_at >= %%2$L::timestamptz, model,
      coalesce(service_tier, 'default'), operation, provenance, upstream, price_id, count(*), 0, 0, 0, sum(c.delta_usd)
    FROM %%1$I e JOIN adjustments c ON c.team_id = e.team_id AND c.event_id = e.id
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10$sum$, partition, next_month);
  INSERT INTO archived_months (month, events, cost_usd, files, folder, manifest_sha256, archived_at, waits_for)
  VALUES (first_day AT TIME ZONE 'UTC', "written", "cost", "in_files", "in_folder", "manifest", tollgate_now(), NULL)
  ON CONFLICT (month) DO UPDATE SET events = excluded.events, cost_usd = excluded.cost_usd, files = excluded.files,
    folder = excluded.folder, manifest_sha256 = excluded.manifest_sha256, archived_at = excluded.archived_at, waits_for = NULL;
  EXECUTE format('DROP TABLE %%I', partition);
  RETURN 'dropped';
END $body$
$create$, current_schema()); END $$;--> statement-breakpoint
REVOKE ALL ON FUNCTION tollgate_drop_archived(timestamp with time zone, bigint, numeric, integer, text, text) FROM PUBLIC;
