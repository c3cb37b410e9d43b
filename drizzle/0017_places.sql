-- So that the same SQL runs on a Citus cluster as on one Postgres (docs/SCALE.md).
-- STABLE: Citus refuses what is volatile in an UPDATE, and Postgres can use an index for a comparison with it. The time is
-- that of the statement: what waits for a lock first has a statement of its own for what it does then.
CREATE OR REPLACE FUNCTION tollgate_now() RETURNS timestamp with time zone
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN coalesce(nullif(current_setting('tollgate.now', true), '')::timestamp with time zone, statement_timestamp());
--> statement-breakpoint
-- Where a team's rows lie. Null: all rows of all teams lie together. On Citus the distribution puts the number of the shard here.
CREATE FUNCTION tollgate_place("team" uuid) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE RETURN NULL::bigint;
