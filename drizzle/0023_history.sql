-- The history of the store: what it may have forgotten is noticed by it, and put back (docs/decisions).
CREATE TABLE "lost_changes" (
	"id" uuid PRIMARY KEY NOT NULL,
	"epoch" uuid NOT NULL,
	"entry" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "store_gaps" (
	"instance_id" uuid NOT NULL,
	"first_number" bigint NOT NULL,
	"last_number" bigint NOT NULL,
	"epoch" uuid NOT NULL,
	"noted_at" timestamp with time zone NOT NULL,
	CONSTRAINT "store_gaps_instance_id_first_number_pk" PRIMARY KEY("instance_id","first_number")
);
--> statement-breakpoint
CREATE TABLE "store_history" (
	"id" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"ledger_id" uuid NOT NULL,
	"epoch" uuid NOT NULL,
	"system_identifier" text NOT NULL,
	"timeline" integer NOT NULL,
	"position" bigint NOT NULL,
	"seen_at" timestamp with time zone NOT NULL,
	"began_at" timestamp with time zone NOT NULL,
	"reason" text NOT NULL,
	"lending_since" timestamp with time zone,
	"accepted_by" text,
	"accepted_reason" text,
	CONSTRAINT "store_history_is_one_row" CHECK ("store_history"."id" = 1)
);
--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "epoch" uuid;--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "beats" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "flushed" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "known_flushed" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "reported_in" uuid;--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "ended_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "is_given_up" boolean DEFAULT false NOT NULL;--> statement-breakpoint
-- The history that begins here is that of the server on which this runs; instances that live on have seen no other.
INSERT INTO "store_history" ("ledger_id", "epoch", "system_identifier", "timeline", "position", "seen_at", "began_at", "reason", "lending_since")
SELECT gen_random_uuid(), gen_random_uuid(), (SELECT system_identifier::text FROM pg_control_system()),
	('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4,
	(pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint, tollgate_now(), tollgate_now(), 'the ledger is new here', tollgate_now();
--> statement-breakpoint
UPDATE "instances" SET "epoch" = (SELECT "epoch" FROM "store_history") WHERE "status" = 'live';
--> statement-breakpoint
UPDATE "instances" SET "ended_at" = "heartbeat_at" WHERE "status" <> 'live';
