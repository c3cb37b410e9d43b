-- The role that dashboards read Postgres with: what dashboards need, nothing to write, no hash of a key, no webhook. Run
-- it as the owner of Tollgate's tables after its migrations, as often as you like; set a password apart.
DO $$ BEGIN
  CREATE ROLE tollgate_reader LOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
ALTER ROLE tollgate_reader SET default_transaction_read_only = on;
-- A dashboard over years must not keep the ledger's database busy.
ALTER ROLE tollgate_reader SET statement_timeout = '15s';
ALTER ROLE tollgate_reader CONNECTION LIMIT 10;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM tollgate_reader;
GRANT USAGE ON SCHEMA public TO tollgate_reader;
GRANT SELECT ON teams, limits, grants, plans, prices, models, counters, leases, instances, usage_days, usage_rollups,
  usage_quantities, usage_events, api_error_rollups, adjustments, labels, audit_log, reconciliations, reconciliation_postings TO tollgate_reader;
GRANT SELECT (id, team_id, name, prefix, created_at, expires_at, revoked_at) ON keys TO tollgate_reader;
