CREATE TABLE "labels" (
	"team_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"event_at" timestamp with time zone NOT NULL,
	"labeller" text NOT NULL,
	"label" text NOT NULL,
	"reason" text,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "labels_team_id_id_pk" PRIMARY KEY("team_id","id"),
	CONSTRAINT "labels_once" UNIQUE("team_id","event_id","labeller"),
	CONSTRAINT "labels_label" CHECK ("labels"."label" in ('accepted', 'edited', 'rejected'))
);
