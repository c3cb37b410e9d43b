/**
 * Distribution: spreads the tables that grow with the calls over a Citus cluster, by team. Owns: which tables are
 * spread, and that the counters of the whole installation lie on the coordinator. What admins set stays on the
 * coordinator as it is, with its triggers and foreign keys. docs/SCALE.md says when and how.
 */

import { ORGANIZATION_ID } from '../domain/limit.ts';
import type { Sql } from './connection/sql.ts';
import { type Connection, closeClient, openClient } from './database.ts';

/** Tables with `team_id` first in their keys, the one first that the others lie beside. */
export const SPREAD_TABLES = [
  'counters',
  'leases',
  'holds',
  'usage_events',
  'usage_rollups',
  'usage_days',
  'usage_departments',
  'usage_department_days',
  'usage_quantities',
  'usage_charges',
  'usage_tags',
  'usage_tag_days',
  'usage_value_days',
  'tag_values',
  'api_error_rollups',
  'adjustments',
  'labels',
  'warnings',
  'notices',
  'quarantined_events',
  'objects',
  'conversation_calls',
  'input_counts',
  'jobs',
] as const;

const HOURS_MAX = 12 * 60 * 60 * 1000;

/** The cluster is not as it has to be; the message says what to do. */
export class CannotDistribute extends Error {
  override name = 'CannotDistribute';
}

/**
 * Distributes a migrated database. Rows that are there already are moved, and their tables locked meanwhile: stop the
 * gateways before. Repeatable: what is done is left as it is.
 * @throws CannotDistribute, and any error of the connection
 */
export async function distribute(connection: Connection): Promise<void> {
  const client = openClient(connection, 1);
  // Rows that are there already take as long as they take.
  const sql = client.within(HOURS_MAX);
  try {
    await checkCluster(sql);
    const [first, ...others] = SPREAD_TABLES;
    // No trigger may stand on a spread table; this one is for releases that cannot run on Citus.
    if (!(await isDistributed(sql, 'leases'))) await sql`drop trigger if exists expect_generation on leases`;
    await spread(sql, first, 'none');
    for (const table of others) await spread(sql, table, first);
    await replicateVersion(sql);
    await sql.unsafe(`
      create or replace function tollgate_place("team" uuid) returns bigint language sql stable parallel safe
      return get_shard_id_for_distribution_column('${first}', "team")`);
    // Of PL/pgSQL, since a function that is written out where it is called is not allowed in what changes spread tables.
    await sql.unsafe(`
      create or replace function tollgate_now() returns timestamptz language plpgsql stable parallel safe as $$ begin
        return coalesce(nullif(current_setting('tollgate.now', true), '')::timestamptz, statement_timestamp());
      end $$`);
    await keepOnCoordinator(sql, first);
  } finally {
    await closeClient(client);
  }
}

async function checkCluster(sql: Sql): Promise<void> {
  const [extension] = await sql`select 1 from pg_extension where extname = 'citus'`;
  if (!extension) {
    throw new CannotDistribute(
      'the database has no extension citus: run CREATE EXTENSION citus in it on the coordinator and on each worker, ' +
        'before the first start of Tollgate',
    );
  }
  const nodes = await sql<{ groupid: number }[]>`select groupid from pg_dist_node where isactive`;
  if (!nodes.some((node) => node.groupid === 0) || nodes.length < 2) {
    throw new CannotDistribute(
      'the cluster needs its coordinator (citus_set_coordinator_host) and at least one worker (citus_add_node)',
    );
  }
}

async function isDistributed(sql: Sql, table: string): Promise<boolean> {
  const rows = await sql`select 1 from pg_dist_partition where logicalrelid = ${table}::regclass`;
  return rows.length > 0;
}

async function spread(sql: Sql, table: string, beside: string): Promise<void> {
  if (await isDistributed(sql, table)) return;
  await sql`select create_distributed_table(${table}::text::regclass, 'team_id', colocate_with => ${beside})`;
  await forgetLocal(sql, table);
}

/**
 * One row that every change of the catalog writes: as it lies on all machines, such a change is one that is made on all or
 * on none, also where it moves counters.
 */
async function replicateVersion(sql: Sql): Promise<void> {
  if (await isDistributed(sql, 'catalog_version')) return;
  await sql`select create_reference_table('catalog_version')`;
  await forgetLocal(sql, 'catalog_version');
}

/** Removes the rows that were copied to the workers. */
async function forgetLocal(sql: Sql, table: string): Promise<void> {
  await sql`select truncate_local_data_after_distributing_table(${table}::text::regclass)`;
}

/** Gives the organization's counters a shard of their own, on the coordinator. */
async function keepOnCoordinator(sql: Sql, table: string): Promise<void> {
  const [own] = await sql<{ is_own: boolean }[]>`
    select shardminvalue = shardmaxvalue as is_own from pg_dist_shard
    where shardid = get_shard_id_for_distribution_column(${table}::text::regclass, ${ORGANIZATION_ID}::text)`;
  if (!own?.is_own) {
    await sql`
      select isolate_tenant_to_new_shard(${table}::text::regclass, ${ORGANIZATION_ID}::text, 'CASCADE',
        shard_transfer_mode => 'block_writes')`;
  }
  const [move] = await sql<{ shard: string; from: string; from_port: number; to: string; to_port: number }[]>`
    select p.shardid as shard, p.nodename as from, p.nodeport as from_port, c.nodename as to, c.nodeport as to_port
    from pg_dist_shard_placement p cross join pg_dist_node c
    where p.shardid = get_shard_id_for_distribution_column(${table}::text::regclass, ${ORGANIZATION_ID}::text)
      and c.groupid = 0 and (p.nodename, p.nodeport) <> (c.nodename, c.nodeport)`;
  if (!move) return;
  const { shard, from, from_port: fromPort, to, to_port: toPort } = move;
  const mayHaveShards = (may: boolean) =>
    sql`select citus_set_node_property(${to}, ${toPort}, 'shouldhaveshards', ${may})`;
  await mayHaveShards(true);
  try {
    await sql`
      select citus_move_shard_placement(${shard}::bigint, ${from}, ${fromPort}, ${to}, ${toPort}, 'block_writes')`;
  } finally {
    await mayHaveShards(false);
  }
}
