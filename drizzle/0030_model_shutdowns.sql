CREATE TABLE "model_shutdowns" (
	"model" text PRIMARY KEY NOT NULL,
	"day" text NOT NULL,
	"noted_at" timestamp with time zone NOT NULL
);
