/** Everything that one attack needs, made anew in a folder of its own: Postgres, the upstream, and the replicas. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, stopAll } from '../processes.ts';
import { CitusCluster, programsIn } from './citus.ts';
import { GATEWAY_KINDS, type GatewayName } from './gateways.ts';
import { Postgres, type Server } from './postgres.ts';
import { Replica } from './replica.ts';
import { Upstream } from './upstream.ts';

export interface House {
  /** Where everything lies. */
  folder: string;
  postgres: Server;
  upstream: Upstream;
  replicas: Replica[];
  /** Spends the budget. */
  key: string;
}

/** An installation of PostgreSQL with Citus, and over how many shards the database is spread; 0: one server of it. */
export interface Citus {
  installation: string;
  shards: number;
}

export interface HouseOptions {
  gateway: GatewayName;
  replicas: number;
  /** Of each replica. */
  workers: number;
  budgetUsd: string;
  /** Missing or null: one PostgreSQL, as Tollgate finds it. */
  citus?: Citus | null | undefined;
  /** Command line of the simulated upstream; null: the bench's, which always answers the same, at little cost. */
  simulator: string[] | null;
  /** Script of an upstream among the bench's own, instead of both. */
  upstreamScript?: string;
  /** Further settings of the gateway, and flags of its Node. */
  env?: Record<string, string>;
  nodeFlags?: string[];
}

/** Builds a house, lets `live` have it, and takes it down again whatever happens. */
export async function inHouse<Result>(
  options: HouseOptions,
  live: (house: House) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-attack-'));
  // A Postgres that root starts runs as another user, who has to reach its data.
  chmodSync(folder, 0o755);
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once('exit', remove);
  let house: House | null = null;
  try {
    house = await build(folder, options);
    return await live(house);
  } finally {
    // First of all those who would be started again, were they to end unasked.
    await Promise.all(house?.replicas.map((replica) => replica.stop()) ?? []);
    await stopAll();
    remove();
    process.off('exit', remove);
  }
}

async function build(folder: string, options: HouseOptions): Promise<House> {
  const { gateway, replicas: count, workers, budgetUsd, citus = null, simulator, upstreamScript } = options;
  const kind = GATEWAY_KINDS[gateway];
  const postgres = await serverIn(folder, citus);
  const upstreamLog = join(folder, 'upstream.log');
  const upstream = await (simulator
    ? Upstream.start(upstreamLog, simulator)
    : Upstream.own(upstreamLog, upstreamScript));
  const replicas: Replica[] = [];
  for (let index = 0; index < count; index++) {
    const dataDir = join(folder, `replica-${index}`);
    mkdirSync(dataDir);
    const replica = new Replica({
      nodeArguments: [...(options.nodeFlags ?? []), ...kind.nodeArguments],
      env: {
        ...kind.env,
        ...options.env,
        TOLLGATE_WORKERS: String(workers),
        TOLLGATE_DATA_DIR: dataDir,
        DATABASE_URL: postgres.url,
        OPENAI_BASE_URL: upstream.url,
      },
      port: await freePort(),
      upstreamKey: `sk-replica-${index}`,
      logFile: join(folder, `replica-${index}.log`),
    });
    await replica.start();
    replicas.push(replica);
  }
  const key = await kind.fund(replicas[0]!.url, budgetUsd);
  return { folder, postgres, upstream, replicas, key };
}

function serverIn(folder: string, citus: Citus | null): Promise<Server> {
  if (citus === null) return Postgres.make(folder);
  const { installation, shards } = citus;
  if (shards === 0) return Postgres.make(folder, { programs: programsIn(installation) });
  return CitusCluster.make(folder, installation, shards);
}
