CREATE TABLE "tag_values" (
	"team_id" uuid NOT NULL,
	"name" text NOT NULL,
	"value" text NOT NULL,
	"opened_at" timestamp with time zone NOT NULL,
	"seen_at" timestamp with time zone NOT NULL,
	CONSTRAINT "tag_values_team_id_name_value_pk" PRIMARY KEY("team_id","name","value")
);
--> statement-breakpoint
CREATE TABLE "tags" (
	"name" text PRIMARY KEY NOT NULL,
	"values" text[],
	"pattern" text,
	"sources" text[] NOT NULL,
	"required" boolean NOT NULL,
	"on_unknown" text NOT NULL,
	"max_values" integer NOT NULL,
	"idle_days" integer NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "tags_on_unknown" CHECK ("tags"."on_unknown" in ('refuse', 'ignore'))
);
--> statement-breakpoint
CREATE TABLE "usage_tag_days" (
	"team_id" uuid NOT NULL,
	"name" text NOT NULL,
	"day" timestamp with time zone NOT NULL,
	"value" text NOT NULL,
	"model" text NOT NULL,
	"calls" bigint NOT NULL,
	"voided_calls" bigint NOT NULL,
	"unknown_calls" bigint NOT NULL,
	"input_tokens" bigint NOT NULL,
	"cached_input_tokens" bigint NOT NULL,
	"cache_write_tokens" bigint NOT NULL,
	"output_tokens" bigint NOT NULL,
	"reasoning_tokens" bigint NOT NULL,
	"cost_usd" numeric(24, 12) NOT NULL,
	"unknown_usd" numeric(24, 12) NOT NULL,
	CONSTRAINT "usage_tag_days_team_id_name_day_value_model_pk" PRIMARY KEY("team_id","name","day","value","model")
);
--> statement-breakpoint
CREATE TABLE "usage_tags" (
	"team_id" uuid NOT NULL,
	"name" text NOT NULL,
	"value" text NOT NULL,
	"bucket_start" timestamp with time zone NOT NULL,
	"model" text NOT NULL,
	"calls" bigint NOT NULL,
	"voided_calls" bigint NOT NULL,
	"unknown_calls" bigint NOT NULL,
	"input_tokens" bigint NOT NULL,
	"cached_input_tokens" bigint NOT NULL,
	"cache_write_tokens" bigint NOT NULL,
	"output_tokens" bigint NOT NULL,
	"reasoning_tokens" bigint NOT NULL,
	"cost_usd" numeric(24, 12) NOT NULL,
	"unknown_usd" numeric(24, 12) NOT NULL,
	CONSTRAINT "usage_tags_team_id_name_value_bucket_start_model_pk" PRIMARY KEY("team_id","name","value","bucket_start","model")
);
--> statement-breakpoint
ALTER TABLE "limits" DROP CONSTRAINT "limits_subject_type";--> statement-breakpoint
ALTER TABLE "counters" DROP CONSTRAINT "counters_subject_type";--> statement-breakpoint
ALTER TABLE "keys" ADD COLUMN "tags" jsonb;--> statement-breakpoint
ALTER TABLE "usage_events" ADD COLUMN "tags" jsonb;--> statement-breakpoint
CREATE INDEX "usage_tag_days_value" ON "usage_tag_days" USING btree ("team_id","name","value","day");--> statement-breakpoint
CREATE INDEX "usage_tags_name" ON "usage_tags" USING btree ("team_id","name","bucket_start");--> statement-breakpoint
ALTER TABLE "limits" ADD CONSTRAINT "limits_subject_type" CHECK ("limits"."subject_type" in ('org', 'department', 'team', 'key', 'user', 'tag'));--> statement-breakpoint
ALTER TABLE "counters" ADD CONSTRAINT "counters_subject_type" CHECK ("counters"."subject_type" in ('org', 'department', 'team', 'key', 'user', 'tag'));--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON tags FOR EACH ROW EXECUTE FUNCTION audit_change('tag', 'name', '');
