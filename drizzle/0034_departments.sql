CREATE TABLE "departments" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"parent_id" uuid,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "usage_departments" (
	"team_id" uuid NOT NULL,
	"bucket_start" timestamp with time zone NOT NULL,
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
	CONSTRAINT "usage_departments_pk" PRIMARY KEY("team_id","bucket_start","departments","key_id","model","operation")
);
--> statement-breakpoint
ALTER TABLE "limits" DROP CONSTRAINT "limits_subject_type";--> statement-breakpoint
ALTER TABLE "counters" DROP CONSTRAINT "counters_subject_type";--> statement-breakpoint
ALTER TABLE "teams" ADD COLUMN "department_id" uuid;--> statement-breakpoint
ALTER TABLE "usage_events" ADD COLUMN "departments" uuid[];--> statement-breakpoint
ALTER TABLE "departments" ADD CONSTRAINT "departments_parent_id_departments_id_fk" FOREIGN KEY ("parent_id") REFERENCES "departments"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "departments_name" ON "departments" USING btree ("name") WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX "departments_parent" ON "departments" USING btree ("parent_id");--> statement-breakpoint
CREATE INDEX "usage_departments_bucket" ON "usage_departments" USING btree ("bucket_start");--> statement-breakpoint
ALTER TABLE "teams" ADD CONSTRAINT "teams_department_id_departments_id_fk" FOREIGN KEY ("department_id") REFERENCES "departments"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "teams_department" ON "teams" USING btree ("department_id");--> statement-breakpoint
ALTER TABLE "limits" ADD CONSTRAINT "limits_subject_type" CHECK ("limits"."subject_type" in ('org', 'department', 'team', 'key', 'user'));--> statement-breakpoint
ALTER TABLE "counters" ADD CONSTRAINT "counters_subject_type" CHECK ("counters"."subject_type" in ('org', 'department', 'team', 'key', 'user'));--> statement-breakpoint
-- A department, the one above it, …, the top; null: there is no such department.
CREATE FUNCTION department_path("department" uuid) RETURNS uuid[]
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN (WITH RECURSIVE up AS (
		SELECT d.id, d.parent_id, 1 AS step FROM departments d WHERE d.id = "department"
		UNION ALL
		SELECT d.id, d.parent_id, up.step + 1 FROM departments d JOIN up ON d.id = up.parent_id)
	SELECT array_agg(id ORDER BY step) FROM up);
--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON departments FOR EACH ROW EXECUTE FUNCTION audit_change('department', 'id', '');
