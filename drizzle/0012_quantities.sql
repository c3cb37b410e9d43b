-- Quantities: prices are lines of (meter, per, rate), and what an event used beside tokens is kept and summed by meter.
-- No table is rewritten: one column of usage_events is added, which changes its catalog alone. It has to wait for the
-- readers of that table, and whoever comes later waits behind it; so it gives up soon and is tried again (migrate.ts).
SET LOCAL lock_timeout = '2s';
--> statement-breakpoint
CREATE TABLE "usage_quantities" (
	"team_id" uuid NOT NULL,
	"bucket_start" timestamp with time zone NOT NULL,
	"key_id" uuid NOT NULL,
	"model" text NOT NULL,
	"operation" text NOT NULL,
	"meter" text NOT NULL,
	"amount" numeric NOT NULL,
	CONSTRAINT "usage_quantities_team_id_bucket_start_key_id_model_operation_meter_pk" PRIMARY KEY("team_id","bucket_start","key_id","model","operation","meter")
);
--> statement-breakpoint
ALTER TABLE "prices" ADD COLUMN "lines" jsonb;--> statement-breakpoint
-- The same rates in another form are no change that an admin made.
ALTER TABLE "prices" DISABLE TRIGGER "audit";--> statement-breakpoint
UPDATE "prices" SET "lines" = (
	SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
		'meter', m.meter, 'per', per_tokens, 'rate', b.rates ->> m.field, 'band', b.band)) ORDER BY b.place, m.place)
	FROM (VALUES
		(0, rates, CASE WHEN long_context_above_tokens IS NULL THEN NULL ELSE 'short' END),
		(1, long_context, 'long')) AS b (place, rates, band)
	CROSS JOIN (VALUES
		(0, 'input', 'input_tokens'),
		(1, 'cached_input', 'cached_input_tokens'),
		(2, 'cache_write', 'cache_write_tokens'),
		(3, 'output', 'output_tokens')) AS m (place, field, meter)
	WHERE b.rates ->> m.field IS NOT NULL);--> statement-breakpoint
ALTER TABLE "prices" ENABLE TRIGGER "audit";--> statement-breakpoint
ALTER TABLE "prices" ALTER COLUMN "lines" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "prices" DROP COLUMN "per_tokens";--> statement-breakpoint
ALTER TABLE "prices" DROP COLUMN "rates";--> statement-breakpoint
ALTER TABLE "prices" DROP COLUMN "long_context";--> statement-breakpoint
-- Of two releases on one database the older gets no leases: it would bound calls by prices that it cannot read any more.
-- What it holds already it settles as ever.
CREATE TABLE "release" (
	"id" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"generation" integer NOT NULL,
	CONSTRAINT "release_is_one_row" CHECK ("release"."id" = 1)
);
--> statement-breakpoint
INSERT INTO "release" ("generation") VALUES (1);--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "generation" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE FUNCTION expect_generation("instance" uuid, "generation" integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	needed integer := (SELECT r.generation FROM release r);
BEGIN
	IF coalesce(expect_generation.generation, 0) < needed THEN
		RAISE EXCEPTION 'this Tollgate is older than its database (generation % of %): instance % may not borrow from any budget',
			coalesce(expect_generation.generation, 0), needed, expect_generation.instance
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Stop it, and start the newer release.';
	END IF;
END $$;
--> statement-breakpoint
CREATE FUNCTION instance_expects_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM expect_generation(NEW.id, NEW.generation);
	RETURN NEW;
END $$;
--> statement-breakpoint
CREATE FUNCTION lease_expects_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM expect_generation(NEW.instance_id, (SELECT i.generation FROM instances i WHERE i.id = NEW.instance_id));
	RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER expect_generation BEFORE INSERT ON "instances" FOR EACH ROW EXECUTE FUNCTION instance_expects_generation();--> statement-breakpoint
-- Whatever lends inserts, if only to find the lease there; a flush and the end of an instance do not.
CREATE TRIGGER expect_generation BEFORE INSERT ON "leases" FOR EACH ROW EXECUTE FUNCTION lease_expects_generation();--> statement-breakpoint
-- Last, because it is the one lock that readers of calls would notice.
ALTER TABLE "usage_events" ADD COLUMN "quantities" jsonb;
