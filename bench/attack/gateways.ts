/** The gateways that are attacked: how each is started on a Postgres, given a budget, and asked for its books. */
import { fileURLToPath } from 'node:url';
import { type PicoUsd, usd } from '../../src/domain/money.ts';
import type { Sql } from '../../src/store/database.ts';

export const GATEWAYS = ['tollgate', 'naive'] as const;
export type GatewayName = (typeof GATEWAYS)[number];

/** What a gateway wrote down about one call, under the id by which the upstream knows the call too. */
export interface BookedCall {
  id: string;
  outcome: 'settled' | 'voided' | 'unknown';
  cost: PicoUsd;
  /** What was set aside for it; 0 where nothing ever is. */
  hold: PicoUsd;
}

export interface GatewayKind {
  nodeArguments: string[];
  env: Record<string, string>;
  /** Gives a team its budget and answers the key to spend it with. */
  fund(url: string, amountUsd: string): Promise<string>;
  readBooks(sql: Sql): Promise<BookedCall[]>;
}

const ADMIN_KEY = 'admin-key-of-the-attack';
const path = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

type Row = { id: string; outcome: BookedCall['outcome']; cost: string; hold: string };
const toCall = (row: Row): BookedCall => ({ ...row, cost: usd(row.cost), hold: usd(row.hold) });

/** Everything as it comes, but for a queue of connections that 500 clients would wait in. */
const TOLLGATE: GatewayKind = {
  nodeArguments: [path('bin/tollgate.mjs'), 'serve'],
  env: {
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
    TOLLGATE_UPSTREAM_CONNECTIONS: '1024',
    TOLLGATE_LOG_LEVEL: 'warn',
    TOLLGATE_LOG_CALLS: 'false',
  },
  async fund(url, amountUsd) {
    return (await makeTeam(url, 'attackers', amountUsd)).key;
  },
  async readBooks(sql) {
    const rows = await sql<Row[]>`
      select id, outcome, cost_usd::text as cost, hold_usd::text as hold from usage_events`;
    return rows.map(toCall);
  },
};

const NAIVE: GatewayKind = {
  nodeArguments: [path('bench/naive.ts')],
  env: {},
  async fund(url, amountUsd) {
    const answer = await fetch(`${url}/budget`, { method: 'PUT', body: amountUsd });
    if (!answer.ok) throw new Error(`PUT ${url}/budget: ${answer.status}`);
    return 'any';
  },
  async readBooks(sql) {
    const rows = await sql<Row[]>`
      select id, 'settled' as outcome, cost_usd::text as cost, '0' as hold from naive_calls`;
    return rows.map(toCall);
  },
};

export const GATEWAY_KINDS: Record<GatewayName, GatewayKind> = { tollgate: TOLLGATE, naive: NAIVE };

export interface StoreState {
  is_lending: boolean;
  awaited: { instance_id: string }[];
}

/** What a gateway says of the history of its database. */
export async function storeState(url: string): Promise<StoreState> {
  const answer = await fetch(`${url}/admin/v1/store`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
  if (!answer.ok) throw new Error(`GET store: ${answer.status}`);
  return (await answer.json()) as StoreState;
}

/** An admin accepts that instances will not put back what the database has forgotten. */
export async function acceptLoss(url: string, reason: string): Promise<void> {
  await create(url, 'store/accept', { reason });
}

/**
 * Makes a team with a grant, and a key of it. Kills leave many calls of unknown outcome: with the usual bound on what they
 * are charged, most of the grant would be spent one call at a time.
 */
export async function makeTeam(
  url: string,
  name: string,
  amountUsd: string,
): Promise<{ teamId: string; key: string }> {
  const team = await create(url, 'teams', { name, plan: null });
  await create(url, 'grants', { team_id: team.id, amount_usd: amountUsd, max_unknown_usd: amountUsd });
  const { key } = await create(url, 'keys', { team_id: team.id, name });
  return { teamId: String(team.id), key: String(key) };
}

/** Reads a page of Tollgate's admin API. Throws unless that worked. */
export async function read(url: string, page: string): Promise<string> {
  const answer = await fetch(`${url}/admin/v1${page}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`GET ${page}: ${answer.status} ${text}`);
  return text;
}

/** Creates something by Tollgate's admin API. Throws unless that worked. */
export async function create(
  url: string,
  noun: string,
  body: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}/admin/v1/${noun}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`POST ${noun}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

/** Changes something by Tollgate's admin API. Throws unless that worked. */
export async function change(url: string, path: string, body: Record<string, unknown>): Promise<void> {
  const answer = await fetch(`${url}/admin/v1/${path}`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`PATCH ${path}: ${answer.status} ${await answer.text()}`);
  await answer.body?.cancel();
}

/** Reads something by Tollgate's admin API. Throws unless that worked. */
export async function adminGet<Body>(url: string, path: string): Promise<Body> {
  const response = await fetch(`${url}/admin/v1/${path}`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
  });
  if (!response.ok) throw new Error(`GET ${path}: ${response.status}`);
  return (await response.json()) as Body;
}
