-- What the schema in TypeScript cannot say. The PARTITION BY of usage_events stands in 0000, added by hand.

-- The one clock of all SQL. A test overrides it by the setting tollgate.now of its session or database.
CREATE FUNCTION tollgate_now() RETURNS timestamp with time zone
	LANGUAGE sql VOLATILE PARALLEL SAFE
	RETURN coalesce(nullif(current_setting('tollgate.now', true), '')::timestamp with time zone, clock_timestamp());
--> statement-breakpoint
-- Takes what no month takes, so that an event always has a place; src/store/partitions.ts makes the months.
CREATE TABLE "usage_events_default" PARTITION OF "usage_events" DEFAULT;
--> statement-breakpoint
INSERT INTO "catalog_version" DEFAULT VALUES;
