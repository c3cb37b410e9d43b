CREATE TABLE "usage_days" (
	"team_id" uuid NOT NULL,
	"day" timestamp with time zone NOT NULL,
	"key_id" uuid NOT NULL,
	"model" text NOT NULL,
	"operation" text NOT NULL,
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
	CONSTRAINT "usage_days_team_id_day_key_id_model_operation_pk" PRIMARY KEY("team_id","day","key_id","model","operation")
);
--> statement-breakpoint
CREATE INDEX "usage_days_day" ON "usage_days" USING btree ("day");--> statement-breakpoint
-- What was summed before.
INSERT INTO "usage_days"
SELECT team_id, date_bin('1 day', bucket_start, 'epoch'), key_id, model, operation, sum(calls), sum(voided_calls),
	sum(unknown_calls), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens),
	sum(reasoning_tokens), sum(cost_usd), sum(unknown_usd)
FROM "usage_rollups" GROUP BY 1, 2, 3, 4, 5;
