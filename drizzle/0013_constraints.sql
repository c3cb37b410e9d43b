-- The schema says what the code always held: columns of closed lists, and rows of what admins set that belong to a team.
-- Not on events, sums, counters and leases do keys refer to teams: these tables can be distributed by team_id.
-- NOT VALID: new rows are checked from now on; rows that are there already are looked at by the next migration, in a
-- transaction of its own that keeps no reader and no writer waiting.
SET LOCAL lock_timeout = '2s';
--> statement-breakpoint
ALTER TABLE "grants" ADD CONSTRAINT "grants_team_id_teams_id_fk" FOREIGN KEY ("team_id") REFERENCES "teams"("id") NOT VALID;--> statement-breakpoint
ALTER TABLE "keys" ADD CONSTRAINT "keys_team_id_teams_id_fk" FOREIGN KEY ("team_id") REFERENCES "teams"("id") NOT VALID;--> statement-breakpoint
-- Limits of the organization stand under its own row of teams.
ALTER TABLE "limits" ADD CONSTRAINT "limits_team_id_teams_id_fk" FOREIGN KEY ("team_id") REFERENCES "teams"("id") NOT VALID;--> statement-breakpoint
ALTER TABLE "limits" ADD CONSTRAINT "limits_subject_type" CHECK ("subject_type" IN ('org', 'team', 'key', 'user')) NOT VALID;--> statement-breakpoint
ALTER TABLE "limits" ADD CONSTRAINT "limits_meter" CHECK ("meter" IN ('cost_usd', 'tokens', 'input_tokens', 'output_tokens', 'requests', 'concurrency')) NOT VALID;--> statement-breakpoint
ALTER TABLE "limits" ADD CONSTRAINT "limits_enforcement" CHECK ("enforcement" IN ('strict', 'soft')) NOT VALID;--> statement-breakpoint
ALTER TABLE "limits" ADD CONSTRAINT "limits_window" CHECK (coalesce("window" ->> 'type', '') IN ('lifetime', 'calendar', 'rolling')) NOT VALID;--> statement-breakpoint
ALTER TABLE "prices" ADD CONSTRAINT "prices_tier" CHECK ("tier" IN ('default', 'flex', 'priority', 'batch')) NOT VALID;--> statement-breakpoint
ALTER TABLE "prices" ADD CONSTRAINT "prices_origin" CHECK ("origin" IN ('seed', 'admin')) NOT VALID;--> statement-breakpoint
ALTER TABLE "instances" ADD CONSTRAINT "instances_status" CHECK ("status" IN ('live', 'stopped', 'adopted')) NOT VALID;--> statement-breakpoint
-- Generated, so that the heads of an older release that still runs are known as well.
DROP INDEX "counters_heads";--> statement-breakpoint
ALTER TABLE "counters" ADD COLUMN "is_head" boolean GENERATED ALWAYS AS (id like '%@head%') STORED NOT NULL;--> statement-breakpoint
CREATE INDEX "counters_heads" ON "counters" USING btree ("source_id","team_id") WHERE is_head;--> statement-breakpoint
ALTER TABLE "counters" ADD CONSTRAINT "counters_source" CHECK ("source" IN ('limit', 'grant')) NOT VALID;--> statement-breakpoint
ALTER TABLE "counters" ADD CONSTRAINT "counters_subject_type" CHECK ("subject_type" IN ('org', 'team', 'key', 'user')) NOT VALID;--> statement-breakpoint
ALTER TABLE "counters" ADD CONSTRAINT "counters_meter" CHECK ("meter" IN ('cost_usd', 'tokens', 'input_tokens', 'output_tokens', 'requests', 'concurrency')) NOT VALID;--> statement-breakpoint
-- Last: readers of calls wait for these until the transaction ends.
ALTER TABLE "usage_events" ADD CONSTRAINT "usage_events_outcome" CHECK ("outcome" IN ('settled', 'voided', 'unknown')) NOT VALID;--> statement-breakpoint
ALTER TABLE "usage_events" ADD CONSTRAINT "usage_events_provenance" CHECK ("provenance" IN ('reported', 'estimated', 'unknown')) NOT VALID;
