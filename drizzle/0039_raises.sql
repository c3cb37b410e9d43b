CREATE TABLE "limit_raises" (
	"id" uuid PRIMARY KEY NOT NULL,
	"limit_id" uuid NOT NULL,
	"amount" numeric(24, 12) NOT NULL,
	"starts_at" timestamp with time zone NOT NULL,
	"until" timestamp with time zone NOT NULL,
	"reason" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "counters" DROP CONSTRAINT "counters_source";--> statement-breakpoint
ALTER TABLE "grants" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "limits" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "limits" ADD COLUMN "reset_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "limits" ADD COLUMN "reset_reason" text;--> statement-breakpoint
ALTER TABLE "limit_raises" ADD CONSTRAINT "limit_raises_limit_id_limits_id_fk" FOREIGN KEY ("limit_id") REFERENCES "limits"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "limit_raises_limit" ON "limit_raises" USING btree ("limit_id","until");--> statement-breakpoint
ALTER TABLE "counters" ADD CONSTRAINT "counters_source" CHECK ("counters"."source" in ('limit', 'grant', 'raise'));--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON limit_raises FOR EACH ROW EXECUTE FUNCTION audit_change('raise', 'id', '');
