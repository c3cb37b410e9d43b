CREATE INDEX "counters_subject" ON "counters" USING btree ("team_id","subject_id","ends_at");--> statement-breakpoint
CREATE INDEX "counters_heads" ON "counters" USING btree ("source_id","team_id") WHERE id like '%@head%';--> statement-breakpoint
CREATE INDEX "counters_scarce" ON "counters" USING btree ("scarce_until") WHERE scarce_until is not null;--> statement-breakpoint
-- Ids that were written in capitals named nobody: they are compared as text.
UPDATE "limits" SET "subject_id" = lower("subject_id") WHERE "subject_type" IN ('team', 'key') AND "subject_id" <> lower("subject_id");--> statement-breakpoint
UPDATE "counters" SET "subject_id" = lower("subject_id") WHERE "subject_type" IN ('team', 'key') AND "subject_id" <> lower("subject_id");
