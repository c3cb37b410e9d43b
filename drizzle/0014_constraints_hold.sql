-- Looks at the rows that were there before the constraints, under locks that let reads and writes go on. Rows that
-- somebody wrote past Tollgate may break them: then that constraint stays NOT VALID (new rows are checked all the same),
-- and the start goes on; `select conrelid::regclass, conname from pg_constraint where not convalidated` names it.
DO $$
DECLARE
	broken record;
BEGIN
	FOR broken IN
		SELECT conrelid::regclass AS tab, conname FROM pg_constraint c
		WHERE NOT convalidated AND conparentid = 0 AND coninhcount = 0 AND conrelid IN ('grants'::regclass, 'keys'::regclass,
			'limits'::regclass, 'prices'::regclass, 'instances'::regclass, 'counters'::regclass, 'usage_events'::regclass)
		ORDER BY 1, 2
	LOOP
		BEGIN
			EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', broken.tab, broken.conname);
		EXCEPTION WHEN check_violation OR foreign_key_violation THEN
			RAISE WARNING 'the constraint % of % stays NOT VALID: older rows break it', broken.conname, broken.tab;
		END;
	END LOOP;
END $$;
