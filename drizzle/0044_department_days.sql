CREATE TABLE "usage_department_days" (
	"team_id" uuid NOT NULL,
	"day" timestamp with time zone NOT NULL,
	"departments" uuid[] NOT NULL,
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
	CONSTRAINT "usage_department_days_pk" PRIMARY KEY("team_id","day","departments","key_id","model","operation")
);
--> statement-breakpoint
CREATE INDEX "usage_department_days_day" ON "usage_department_days" USING btree ("day");