-- Without the table's name: in its partitions it is another.
ALTER TABLE "objects" DROP CONSTRAINT "objects_kind";--> statement-breakpoint
ALTER TABLE "objects" ADD CONSTRAINT "objects_kind" CHECK ("kind" in ('response', 'conversation', 'stored_completion', 'file', 'upload', 'upload_part', 'vector_store', 'file_batch', 'container', 'batch', 'model'));
