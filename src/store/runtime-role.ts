/**
 * The role that serves: it reads and writes rows, makes no tables, and changes nothing of the past. Owns: which rights it
 * has. Does not own: the role itself, which the operator makes, with its password.
 */
import { UnsuitableDatabase } from './check-server.ts';
import type { Sql, TransactionSql } from './database.ts';
import { MIGRATIONS_TABLE, migrationsTable } from './migrate.ts';

/** Rows of these are added, never changed or deleted, by the role that serves. */
const PAST = ['audit_log', 'usage_events', 'adjustments'];

/**
 * Gives the role what a gateway needs in the installation's schema, and takes what it does not need. Repeatable; to be
 * run by the owner of the tables after each migration, which may have made new ones.
 * @throws UnsuitableDatabase when there is no such role
 */
export async function grantRuntime(sql: Sql, role: string): Promise<void> {
  const [found] = await sql`select 1 from pg_roles where rolname = ${role}`;
  if (!found) {
    throw new UnsuitableDatabase(
      `there is no role ${role}: CREATE ROLE ${role} LOGIN PASSWORD '…', and run this again`,
    );
  }
  await sql.begin({ deadlineMs: 60_000 }, async (tx) => {
    const [row] = await tx<{ schema: string }[]>`select current_schema()::text as schema`;
    const schema = tx(row?.schema ?? 'public');
    const to = tx(role);
    await tx`revoke all on all tables in schema ${schema} from ${to}`;
    await tx`revoke create on schema ${schema} from ${to}`;
    await tx`grant usage on schema ${schema} to ${to}`;
    await tx`grant select, insert, update, delete on all tables in schema ${schema} to ${to}`;
    await tx`grant usage on all sequences in schema ${schema} to ${to}`;
    await tx`grant execute on all functions in schema ${schema} to ${to}`;
    const parts = await tx<{ name: string }[]>`
      select inhrelid::regclass::text as name from pg_inherits where inhparent = 'usage_events'::regclass`;
    for (const { name } of parts) await tx`revoke update, delete on ${tx(name)} from ${to}`;
    for (const table of PAST) await tx`revoke update, delete on ${tx(table)} from ${to}`;
    await grantMigrations(tx, role);
  });
}

/** A start reads which migrations were applied. */
async function grantMigrations(tx: TransactionSql, role: string): Promise<void> {
  const { schema } = await migrationsTable(tx);
  await tx`grant usage on schema ${tx(schema)} to ${tx(role)}`;
  await tx`revoke all on ${tx(schema)}.${tx(MIGRATIONS_TABLE)} from ${tx(role)}`;
  await tx`grant select on ${tx(schema)}.${tx(MIGRATIONS_TABLE)} to ${tx(role)}`;
}
