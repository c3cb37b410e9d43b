-- Without the name of the table: in its partitions it is another.
ALTER TABLE "jobs" DROP CONSTRAINT "jobs_kind";--> statement-breakpoint
ALTER TABLE "objects" DROP CONSTRAINT "objects_kind";--> statement-breakpoint
ALTER TABLE "jobs" ADD CONSTRAINT "jobs_kind" CHECK ("kind" in ('fine_tuning', 'batch', 'response', 'eval_run'));--> statement-breakpoint
ALTER TABLE "objects" ADD CONSTRAINT "objects_kind" CHECK ("kind" in ('response', 'conversation', 'stored_completion', 'file', 'upload', 'upload_part', 'vector_store', 'file_batch', 'container', 'batch', 'model', 'fine_tuning_job', 'skill', 'eval', 'eval_run', 'voice_consent'));