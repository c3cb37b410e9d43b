CREATE TABLE "adjustments" (
	"team_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"delta_usd" numeric(24, 12) NOT NULL,
	"reason" text NOT NULL,
	"actor" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "adjustments_team_id_id_pk" PRIMARY KEY("team_id","id")
);
--> statement-breakpoint
CREATE TABLE "catalog_version" (
	"id" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"version" bigint DEFAULT 1 NOT NULL,
	CONSTRAINT "catalog_version_is_one_row" CHECK ("catalog_version"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "counters" (
	"team_id" uuid NOT NULL,
	"id" text NOT NULL,
	"source" text NOT NULL,
	"source_id" uuid NOT NULL,
	"subject_type" text NOT NULL,
	"subject_id" uuid,
	"models" text[],
	"meter" text NOT NULL,
	"starts_at" timestamp with time zone NOT NULL,
	"ends_at" timestamp with time zone,
	"amount" numeric(24, 12) NOT NULL,
	"settled" numeric(24, 12) DEFAULT '0' NOT NULL,
	"held" numeric(24, 12) DEFAULT '0' NOT NULL,
	"leased" numeric(24, 12) DEFAULT '0' NOT NULL,
	CONSTRAINT "counters_team_id_id_pk" PRIMARY KEY("team_id","id")
);
--> statement-breakpoint
CREATE TABLE "grants" (
	"id" uuid PRIMARY KEY NOT NULL,
	"team_id" uuid NOT NULL,
	"amount_usd" numeric(24, 12) NOT NULL,
	"starts_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "instances" (
	"id" uuid PRIMARY KEY NOT NULL,
	"status" text NOT NULL,
	"started_at" timestamp with time zone NOT NULL,
	"heartbeat_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"team_id" uuid NOT NULL,
	"name" text NOT NULL,
	"hash" text NOT NULL,
	"prefix" text NOT NULL,
	"models" text[],
	"created_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone,
	"revoked_at" timestamp with time zone,
	CONSTRAINT "keys_hash_unique" UNIQUE("hash")
);
--> statement-breakpoint
CREATE TABLE "leases" (
	"team_id" uuid NOT NULL,
	"counter_id" text NOT NULL,
	"instance_id" uuid NOT NULL,
	"granted" numeric(24, 12) DEFAULT '0' NOT NULL,
	"returned" numeric(24, 12) DEFAULT '0' NOT NULL,
	"settled" numeric(24, 12) DEFAULT '0' NOT NULL,
	"held" numeric(24, 12) DEFAULT '0' NOT NULL,
	CONSTRAINT "leases_team_id_counter_id_instance_id_pk" PRIMARY KEY("team_id","counter_id","instance_id")
);
--> statement-breakpoint
CREATE TABLE "limits" (
	"id" uuid PRIMARY KEY NOT NULL,
	"team_id" uuid NOT NULL,
	"subject_type" text NOT NULL,
	"subject_id" uuid,
	"models" text[],
	"meter" text NOT NULL,
	"amount" numeric(24, 12) NOT NULL,
	"window" jsonb NOT NULL,
	"enforcement" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "models" (
	"model" text PRIMARY KEY NOT NULL,
	"max_input_tokens" integer,
	"max_output_tokens" integer,
	"unbounded_reason" text,
	"source" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "plans" (
	"name" text PRIMARY KEY NOT NULL,
	"grants" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "prices" (
	"id" text PRIMARY KEY NOT NULL,
	"model" text NOT NULL,
	"tier" text NOT NULL,
	"effective_from" timestamp with time zone NOT NULL,
	"per_tokens" bigint NOT NULL,
	"rates" jsonb NOT NULL,
	"long_context" jsonb,
	"long_context_above_tokens" integer,
	"source" text NOT NULL,
	"origin" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "teams" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"plan" text,
	"unlimited" boolean DEFAULT false NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone,
	"changed_at_version" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "teams_name_unique" UNIQUE("name")
);
--> statement-breakpoint
CREATE TABLE "usage_events" (
	"team_id" uuid NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"id" uuid NOT NULL,
	"key_id" uuid NOT NULL,
	"instance_id" uuid NOT NULL,
	"operation" text NOT NULL,
	"model" text NOT NULL,
	"response_model" text,
	"service_tier" text,
	"stream" boolean NOT NULL,
	"end_user" text,
	"outcome" text NOT NULL,
	"provenance" text NOT NULL,
	"reason" text,
	"upstream_status" integer,
	"upstream_request_id" text,
	"input_tokens" bigint NOT NULL,
	"cached_input_tokens" bigint NOT NULL,
	"cache_write_tokens" bigint NOT NULL,
	"output_tokens" bigint NOT NULL,
	"reasoning_tokens" bigint NOT NULL,
	"output_limit" integer,
	"price_id" text,
	"cost_usd" numeric(24, 12) NOT NULL,
	"hold_usd" numeric(24, 12) NOT NULL,
	"allocations" jsonb NOT NULL,
	"stage_us" jsonb NOT NULL,
	CONSTRAINT "usage_events_team_id_created_at_id_pk" PRIMARY KEY("team_id","created_at","id")
) PARTITION BY RANGE ("created_at");
--> statement-breakpoint
CREATE TABLE "usage_rollups" (
	"team_id" uuid NOT NULL,
	"bucket_start" timestamp with time zone NOT NULL,
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
	CONSTRAINT "usage_rollups_team_id_bucket_start_key_id_model_operation_pk" PRIMARY KEY("team_id","bucket_start","key_id","model","operation")
);
--> statement-breakpoint
CREATE INDEX "adjustments_event" ON "adjustments" USING btree ("team_id","event_id");--> statement-breakpoint
CREATE INDEX "counters_source" ON "counters" USING btree ("team_id","source_id");--> statement-breakpoint
CREATE INDEX "grants_team" ON "grants" USING btree ("team_id");--> statement-breakpoint
CREATE INDEX "keys_team" ON "keys" USING btree ("team_id");--> statement-breakpoint
CREATE INDEX "leases_instance" ON "leases" USING btree ("instance_id");--> statement-breakpoint
CREATE INDEX "limits_team" ON "limits" USING btree ("team_id");--> statement-breakpoint
CREATE INDEX "prices_model" ON "prices" USING btree ("model");--> statement-breakpoint
CREATE INDEX "usage_events_unknown" ON "usage_events" USING btree ("team_id","created_at") WHERE outcome = 'unknown';