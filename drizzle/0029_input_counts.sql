CREATE UNLOGGED TABLE "input_counts" (
	"team_id" uuid NOT NULL,
	"key" text NOT NULL,
	"setting" text NOT NULL,
	"given" text NOT NULL,
	"elements" text NOT NULL,
	"tokens" integer NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "input_counts_team_id_key_setting_pk" PRIMARY KEY("team_id","key","setting"),
	CONSTRAINT "input_counts_given" CHECK ("input_counts"."given" in ('all', 'turn', 'some'))
);
