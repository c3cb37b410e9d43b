CREATE TABLE "people" (
	"id" uuid PRIMARY KEY NOT NULL,
	"external_id" text,
	"user_name" text NOT NULL,
	"display_name" text NOT NULL,
	"email" text,
	"active" boolean NOT NULL,
	"roles" jsonb NOT NULL,
	"issuer" text,
	"subject" text,
	"groups" text[] DEFAULT '{}' NOT NULL,
	"last_sign_in_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "people_external_id_unique" UNIQUE("external_id"),
	CONSTRAINT "people_user_name_unique" UNIQUE("user_name"),
	CONSTRAINT "people_subject" UNIQUE("issuer","subject")
);
--> statement-breakpoint
CREATE TABLE "role_mappings" (
	"name" text PRIMARY KEY NOT NULL,
	"roles" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tokens" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"hash" text NOT NULL,
	"prefix" text NOT NULL,
	"roles" jsonb NOT NULL,
	"person_id" uuid,
	"created_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"revoked_at" timestamp with time zone,
	"last_used_at" timestamp with time zone,
	CONSTRAINT "tokens_hash_unique" UNIQUE("hash")
);
--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "person_id" uuid;--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "user_name" text;--> statement-breakpoint
ALTER TABLE "tokens" ADD CONSTRAINT "tokens_person_id_people_id_fk" FOREIGN KEY ("person_id") REFERENCES "people"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "people_created" ON "people" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "tokens_created" ON "tokens" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "tokens_person" ON "tokens" USING btree ("person_id");--> statement-breakpoint
CREATE INDEX "sessions_person" ON "sessions" USING btree ("person_id","created_at","id");--> statement-breakpoint
-- Who may do what is a change; that somebody signed in, or used a token, is none.
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE OF external_id, user_name, display_name, email, active, roles, issuer, subject, deleted_at ON people FOR EACH ROW EXECUTE FUNCTION audit_change('person', 'id', '');--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE OF name, hash, roles, expires_at, revoked_at ON tokens FOR EACH ROW EXECUTE FUNCTION audit_change('token', 'id', '');--> statement-breakpoint
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE ON role_mappings FOR EACH ROW EXECUTE FUNCTION audit_change('role_mapping', 'name', '');
