/**
 * A Citus cluster of three servers on loopback: a coordinator and two workers, with Tollgate's database spread over them by
 * team. Owns: that all three can be killed at once, and started again on the same files. Citus is not in the package
 * registries, so an installation of PostgreSQL 15 or later that has it must be given.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { closeClient, openClient } from '../../src/store/database.ts';
import { distribute } from '../../src/store/distribute.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { Postgres, type Server } from './postgres.ts';

const WORKERS = 2;

/** Twice the sessions of a coordinator's clients: each of them may have one on each worker, and a prepared transaction. */
const SETTINGS = {
  shared_preload_libraries: 'citus',
  wal_level: 'logical',
  max_connections: '300',
  max_prepared_transactions: '600',
  'citus.enable_statistics_collection': 'off',
  'citus.node_conninfo': 'sslmode=disable',
};

export class CitusCluster implements Server {
  readonly #nodes: readonly Postgres[];

  private constructor(nodes: readonly Postgres[]) {
    this.#nodes = nodes;
  }

  static async make(folder: string, installation: string, shards: number): Promise<CitusCluster> {
    const programs = programsIn(installation);
    const nodes: Postgres[] = [];
    for (let index = 0; index <= WORKERS; index++) {
      const name = index === 0 ? 'coordinator' : `worker-${index}`;
      nodes.push(await Postgres.make(folder, { name, programs, settings: SETTINGS }));
    }
    const cluster = new CitusCluster(nodes);
    for (const node of nodes) await ask(node.url, [`alter database books set citus.shard_count = ${shards}`]);
    for (const node of nodes) await ask(node.url, ['create extension citus']);
    const password = decodeURIComponent(new URL(cluster.url).password);
    for (const node of nodes) {
      await ask(node.url, [`insert into pg_dist_authinfo values (0, 'owner', 'password=''${password}''')`]);
    }
    const [coordinator, ...workers] = nodes;
    const named = (node: Postgres) => `('127.0.0.1', ${node.port})`;
    await ask(cluster.url, [
      `select citus_set_coordinator_host${named(coordinator!)}`,
      ...workers.map((worker) => `select citus_add_node${named(worker)}`),
    ]);
    await migrateDatabase(cluster.url);
    await distribute(cluster.url);
    return cluster;
  }

  get url(): string {
    return this.#nodes[0]!.url;
  }

  /** Where the servers say what went wrong. */
  get logFiles(): string[] {
    return this.#nodes.map((node) => node.logFile);
  }

  async start(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.start()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.kill()));
  }
}

/** The folder of `postgres` and `initdb` in an installation. Throws with what was looked for. */
export function programsIn(installation: string): string {
  const versions = join(installation, 'lib/postgresql');
  const candidates = [
    installation,
    join(installation, 'bin'),
    ...(existsSync(versions) ? readdirSync(versions).map((version) => join(versions, version, 'bin')) : []),
  ];
  const found = candidates.find((folder) => existsSync(join(folder, 'initdb')));
  if (found === undefined) throw new Error(`--citus: there is no initdb in ${candidates.join(', ')}`);
  return found;
}

async function ask(url: string, statements: string[]): Promise<void> {
  const sql = openClient(url, 1);
  try {
    for (const statement of statements) await sql.unsafe(statement);
  } finally {
    await closeClient(sql);
  }
}
