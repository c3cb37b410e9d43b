CREATE TABLE "call_contents" (
	"team_id" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"part" text NOT NULL,
	"event_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"sealed" "bytea" NOT NULL,
	CONSTRAINT "call_contents_event_id_part_pk" PRIMARY KEY("event_id","part"),
	CONSTRAINT "call_contents_part" CHECK ("call_contents"."part" in ('call', 'edit'))
);
--> statement-breakpoint
ALTER TABLE "usage_charges" ADD COLUMN "tags" jsonb;--> statement-breakpoint
ALTER TABLE "usage_charges" ADD COLUMN "departments" uuid[];--> statement-breakpoint
ALTER TABLE "teams" ADD COLUMN "content_days" integer;--> statement-breakpoint
CREATE INDEX "call_contents_team" ON "call_contents" USING btree ("team_id");--> statement-breakpoint
CREATE INDEX "call_contents_expiry" ON "call_contents" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "call_contents_order" ON "call_contents" USING btree ("event_at","event_id");--> statement-breakpoint
ALTER TABLE "teams" ADD CONSTRAINT "teams_content_days" CHECK (content_days between 1 and 3650);--> statement-breakpoint
-- As before, and its charges keep the tags and departments of their calls.
-- Drops a month of events that was written to files, if it still is what was written; its charges stay. With the rights of
-- the owner, as tollgate_make_partition. Readers of other months wait for the last step alone.
DO $$ BEGIN EXECUTE format($create$
CREATE OR REPLACE FUNCTION tollgate_drop_archived("of_month" timestamp with time zone, "written" bigint, "cost" numeric, "in_files" integer, "in_folder" text, "manifest" text) RETURNS text
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
    INSERT INTO usage_charges (team_id, day, kind, is_late, model, tier, operation, provenance, upstream, price_id, tags,
      departments, calls, input_tokens, cached_input_tokens, output_tokens, cost_usd)
    SELECT team_id, date_trunc('day', created_at, 'UTC'), 'usage', false, model, coalesce(service_tier, 'default'), operation,
      provenance, upstream, price_id, tags, departments, count(*), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(cost_usd)
    FROM %%1$I WHERE outcome <> 'voided' OR cost_usd <> 0 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    UNION ALL
    SELECT e.team_id, date_trunc('day', e.created_at, 'UTC'), 'correction', c.created_at >= %%2$L::timestamptz, model,
      coalesce(service_tier, 'default'), operation, provenance, upstream, price_id, tags, departments, count(*), 0, 0, 0, sum(c.delta_usd)
    FROM %%1$I e JOIN adjustments c ON c.team_id = e.team_id AND c.event_id = e.id
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12$sum$, partition, next_month);
  INSERT INTO archived_months (month, events, cost_usd, files, folder, manifest_sha256, archived_at, waits_for)
  VALUES (first_day AT TIME ZONE 'UTC', "written", "cost", "in_files", "in_folder", "manifest", tollgate_now(), NULL)
  ON CONFLICT (month) DO UPDATE SET events = excluded.events, cost_usd = excluded.cost_usd, files = excluded.files,
    folder = excluded.folder, manifest_sha256 = excluded.manifest_sha256, archived_at = excluded.archived_at, waits_for = NULL;
  EXECUTE format('DROP TABLE %%I', partition);
  RETURN 'dropped';
END $body$
$create$, current_schema()); END $$;--> statement-breakpoint
REVOKE ALL ON FUNCTION tollgate_drop_archived(timestamp with time zone, bigint, numeric, integer, text, text) FROM PUBLIC;
