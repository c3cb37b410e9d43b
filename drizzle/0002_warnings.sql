CREATE TABLE "warnings" (
	"team_id" uuid NOT NULL,
	"counter_id" text NOT NULL,
	"threshold" integer NOT NULL,
	"amount" numeric(24, 12) NOT NULL,
	"id" uuid NOT NULL,
	"settled" numeric(24, 12) NOT NULL,
	"refused" boolean DEFAULT false NOT NULL,
	"raised_at" timestamp with time zone NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone,
	"delivered_at" timestamp with time zone,
	"problem" text,
	CONSTRAINT "warnings_team_id_counter_id_threshold_amount_pk" PRIMARY KEY("team_id","counter_id","threshold","amount")
);
--> statement-breakpoint
CREATE INDEX "warnings_due" ON "warnings" USING btree ("next_attempt_at") WHERE next_attempt_at is not null;