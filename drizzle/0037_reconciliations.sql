CREATE TABLE "reconciliation_postings" (
	"day" date NOT NULL,
	"upstream" text NOT NULL,
	"difference" text NOT NULL,
	"amount_usd" numeric(24, 12) NOT NULL,
	"events" integer NOT NULL,
	"reason" text NOT NULL,
	"actor" text NOT NULL,
	"posted_at" timestamp with time zone NOT NULL,
	CONSTRAINT "reconciliation_postings_day_upstream_difference_pk" PRIMARY KEY("day","upstream","difference")
);
--> statement-breakpoint
CREATE TABLE "reconciliations" (
	"day" date NOT NULL,
	"upstream" text NOT NULL,
	"billed_usd" numeric(24, 12) NOT NULL,
	"charged_usd" numeric(24, 12) NOT NULL,
	"corrected_usd" numeric(24, 12) NOT NULL,
	"unexplained_usd" numeric(24, 12) NOT NULL,
	"differences" jsonb NOT NULL,
	"own_keys" jsonb,
	"computed_at" timestamp with time zone NOT NULL,
	"is_final" boolean NOT NULL,
	CONSTRAINT "reconciliations_day_upstream_pk" PRIMARY KEY("day","upstream")
);
--> statement-breakpoint
CREATE INDEX "reconciliations_moving" ON "reconciliations" USING btree ("day") WHERE not is_final;