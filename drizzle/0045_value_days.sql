CREATE TABLE "usage_value_days" (
	"team_id" uuid NOT NULL,
	"name" text NOT NULL,
	"day" timestamp with time zone NOT NULL,
	"value" text NOT NULL,
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
	CONSTRAINT "usage_value_days_team_id_name_day_value_pk" PRIMARY KEY("team_id","name","day","value")
);
--> statement-breakpoint
INSERT INTO "usage_value_days"
SELECT "team_id", "name", "day", "value", sum("calls"), sum("voided_calls"), sum("unknown_calls"), sum("input_tokens"), sum("cached_input_tokens"), sum("cache_write_tokens"), sum("output_tokens"), sum("reasoning_tokens"), sum("cost_usd"), sum("unknown_usd")
FROM "usage_tag_days" GROUP BY 1, 2, 3, 4;
