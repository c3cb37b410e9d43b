/** The real admin API on a real database, and calls that are leased and flushed as the gateway does it. */

import { createAdmin } from '../../src/admin/admin.ts';
import { AccessLog } from '../../src/auth/access-log.ts';
import { ClientAddresses } from '../../src/auth/addresses.ts';
import { KeyCache } from '../../src/auth/keys.ts';
import { Sealer } from '../../src/auth/seal.ts';
import { Sessions } from '../../src/auth/sessions.ts';
import type { CounterSpec } from '../../src/domain/counter.ts';
import { asId, type DepartmentId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { writeAccess } from '../../src/store/audit.ts';
import type { Database } from '../../src/store/database.ts';
import { findKey } from '../../src/store/hot/catalog.ts';
import { flush } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { requestLease } from '../../src/store/hot/leases.ts';
import { ensureBuiltInPlans } from '../../src/store/plans.ts';
import { sessionStore } from '../../src/store/sessions.ts';
import { createTestDatabase } from '../support/postgres.ts';

export const ADMIN_KEY = 'an-admin-key-for-tests';

/** An answer's JSON, with the names into which tests look deeper. */
export interface Json {
  id: string;
  data: Json[];
  next: string | null;
  grants: Json[];
  limits: Json[];
  subject: { type: 'team' | 'key'; id: string };
  [name: string]: unknown;
}

export interface Answer {
  status: number;
  body: Json;
}

export interface TestAdmin {
  database: Database;
  /** For answers that are no JSON. */
  app: ReturnType<typeof createAdmin>;
  ask(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Like `ask`, for what must succeed. */
  make(path: string, body: unknown): Promise<Json>;
  get(path: string): Promise<Json>;
  /** Every row that an admin can change, as text. */
  snapshot(): Promise<string>;
  /** How often the API asked for the ledger to be brought up to date. */
  settledCount(): number;
  close(): Promise<void>;
}

/** @param now stops the API's clock and Postgres's at this moment */
export async function createTestAdmin(now?: string): Promise<TestAdmin> {
  const settings: Record<string, string> = now === undefined ? {} : { 'tollgate.now': now };
  const { database, drop } = await createTestDatabase({ settings });
  await ensureBuiltInPlans(database);
  let settled = 0;
  const app = createAdmin({
    database,
    ...signIn(database),
    ...(now === undefined ? {} : { nowMs: () => Date.parse(now) }),
    defaultPlan: 'free-tier',
    sealer: new Sealer(Buffer.alloc(32, 7)),
    settleNow: async () => {
      settled++;
    },
  });
  const ask: TestAdmin['ask'] = async (method, path, body) => {
    const response = await app.request(`/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Json };
  };
  const succeed = async (method: string, path: string, body?: unknown) => {
    const answer = await ask(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer.body;
  };
  return {
    database,
    app,
    ask,
    make: (path, body) => succeed('POST', path, body),
    get: (path) => succeed('GET', path),
    snapshot: () => snapshot(database),
    settledCount: () => settled,
    close: drop,
  };
}

/** What the admin API needs to know who asks. */
export function signIn(database: Database) {
  const { sql } = database;
  const keys = new KeyCache({ findKey: (hash) => findKey(sql, hash) });
  const addresses = new ClientAddresses(null);
  const accessLog = new AccessLog({
    write: (entry) => writeAccess(database, entry),
    nowMs: Date.now,
    // An entry may be on its way when the database is dropped.
    onError: () => {},
  });
  const options = { adminKey: ADMIN_KEY, nowMs: Date.now, addresses };
  const store = sessionStore(database);
  return { ...options, accessLog, sessions: new Sessions({ ...options, keys, store, log: accessLog }) };
}

const TABLES = [
  'catalog_version',
  'plans',
  'teams',
  'keys',
  'limits',
  'grants',
  'models',
  'prices',
  'counters',
  'adjustments',
  'usage_rollups',
];

async function snapshot({ sql }: Database): Promise<string> {
  const tables = await Promise.all(
    TABLES.map((table) => sql`select t::text as row from ${sql(table)} t order by 1`),
  );
  return JSON.stringify(tables);
}

/** The counter of a limit or grant, as the gateway names it. */
export function counterOf(
  source: 'limit' | 'grant',
  row: Json,
  teamId: string,
  startsAtMs: number,
  endsAtMs: number | null = null,
): CounterSpec {
  const subject = source === 'limit' ? row.subject : { type: 'team' as const, id: teamId };
  return {
    id: asId(`${row.id}@${startsAtMs}`),
    teamId: asId(teamId),
    source,
    sourceId: asId(row.id),
    subjectType: subject.type,
    subjectId: subject.id,
    meter: 'cost_usd',
    models: null,
    startsAtMs,
    endsAtMs,
    rollingMs: null,
    amount: 0n,
  };
}

export interface TestCall {
  teamId: string;
  keyId: string;
  atMs: number;
  costUsd: string;
  /** A pool a list: what each counter holds of the call. Missing: no budget touches it. */
  pools?: { counter: CounterSpec; heldUsd: string; settledUsd: string }[][];
  provenance?: 'reported' | 'estimated';
  reason?: string;
  outcome?: 'settled' | 'voided' | 'unknown';
  model?: string;
  operation?: string;
  endUser?: string | null;
  /** Ids, from the team's own up. */
  departments?: string[];
  /** Of its event; no sums of tags. */
  tags?: Record<string, string>;
  serviceTier?: string;
  priceId?: string;
  upstream?: string;
}

/** Registers an instance that leases what calls need and flushes them. */
export async function createTestInstance({ sql }: Database, instanceId: string = uuidV7(Date.now())) {
  await registerInstance(sql, instanceId);
  /** Leases `heldUsd` of the counters and leaves it held. */
  const lease = async (pools: { counter: CounterSpec; heldUsd: string }[][]) => {
    for (const parts of pools) {
      for (const { counter, heldUsd } of parts) {
        const [min, want] = [usd(heldUsd), usd(heldUsd)];
        const pool = { counters: [counter], min, want };
        const reply = await requestLease(sql, { instanceId, teamId: counter.teamId, pools: [pool] });
        if (!reply.met) throw new Error(`the counter ${counter.id} has no ${heldUsd} left`);
      }
    }
  };
  const call = async (made: TestCall): Promise<string> => {
    const pools = made.pools ?? [];
    await lease(pools);
    const id = uuidV7(made.atMs);
    const allocations = pools.flat().map((part) => ({
      counterId: part.counter.id,
      held: usd(part.heldUsd),
      settled: usd(part.settledUsd),
    }));
    const json = Buffer.from(JSON.stringify(columnsOf(id, instanceId, made)));
    const { teamId, keyId, atMs: createdAtMs } = made;
    const claim = { cost: usd(made.costUsd), input_tokens: 10, output_tokens: 5 };
    const departments = (made.departments ?? []).map((each) => asId<DepartmentId>(each));
    const called = { endUser: null, departments, model: made.model ?? 'gpt-4o-mini' };
    await flush(sql, {
      instanceId,
      events: [
        { id, teamId: asId(teamId), keyId: asId(keyId), ...called, createdAtMs, claim, allocations, json },
      ],
      reports: [],
    });
    return id;
  };
  /** Leases and tells that calls hold all of it. */
  const hold = async (counter: CounterSpec, heldUsd: string) => {
    await lease([[{ counter, heldUsd }]]);
    const report = { teamId: counter.teamId, counterId: counter.id, returned: 0n, held: usd(heldUsd) };
    await flush(sql, { instanceId, events: [], reports: [report] });
  };
  return { instanceId, call, hold };
}

function columnsOf(id: string, instanceId: string, made: TestCall) {
  const { outcome = 'settled', pools = [] } = made;
  const parts = pools.flat();
  return {
    id,
    team_id: made.teamId,
    key_id: made.keyId,
    instance_id: instanceId,
    created_at: new Date(made.atMs).toISOString(),
    operation: made.operation ?? 'chat.completions',
    model: made.model ?? 'gpt-4o-mini',
    service_tier: made.serviceTier ?? null,
    price_id: made.priceId ?? null,
    upstream: made.upstream ?? null,
    stream: false,
    end_user: made.endUser ?? null,
    departments: made.departments ? `{${made.departments.join()}}` : null,
    tags: made.tags ?? null,
    outcome,
    reason: made.reason ?? null,
    provenance: made.provenance ?? (outcome === 'unknown' ? 'unknown' : 'reported'),
    input_tokens: 10,
    cached_input_tokens: 4,
    cache_write_tokens: 0,
    output_tokens: 5,
    reasoning_tokens: 2,
    cost_usd: made.costUsd,
    hold_usd: formatUsd(parts.reduce((sum, part) => sum + usd(part.heldUsd), 0n)),
    allocations: parts.map((part) => ({
      counter: part.counter.id,
      held: part.heldUsd,
      settled: part.settledUsd,
    })),
    stage_us: { route: 3, forward: 1200 },
  };
}
