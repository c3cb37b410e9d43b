/**
 * The sending of warnings, as rows. Invariant: a claim puts the next attempt off before anything is sent, so no two
 * replicas send the same at once, and what a dead one claimed is sent by another.
 */

import { type SQL, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import type { CounterId, TeamId } from '../domain/ids.ts';
import { type Enforcement, type Meter, ORGANIZATION_ID } from '../domain/limit.ts';
import type { Window } from '../domain/window.ts';
import { type Database, runOn } from './database.ts';
import { storedWindow } from './stored-json.ts';

/** A warning with all that its message says. Amounts are decimal text, moments ISO 8601. */
export interface DueWarning {
  id: string;
  teamId: TeamId;
  counterId: CounterId;
  threshold: number;
  amount: string;
  settled: string;
  denied: boolean;
  raisedAt: string;
  /** This attempt included. */
  attempts: number;
  /** Null: it concerns the whole installation. */
  teamName: string | null;
  source: 'limit' | 'grant';
  sourceId: string;
  /** Of the limit or grant; null: it has none. */
  sourceName: string | null;
  subjectType: string;
  subjectId: string;
  /** Set where the subject is a department. */
  departmentName: string | null;
  /** Set where the subject is a key. */
  keyName: string | null;
  meter: Meter;
  models: string[] | null;
  /** Null for a grant. */
  window: Window | null;
  enforcement: Enforcement | null;
  startsAt: string;
  endsAt: string | null;
}

export interface ClaimOptions {
  limit: number;
  /** How long no other replica claims them. */
  forMs: number;
}

/** Takes warnings whose attempt is due, oldest first. */
export async function claimWarnings(
  database: Database,
  { limit, forMs }: ClaimOptions,
): Promise<DueWarning[]> {
  const { db } = database;
  const now = await nowOf(database);
  const due = await runOn(db)<Record<'team_id' | 'counter_id' | 'threshold' | 'amount', string>>(sql`
    select team_id, counter_id, threshold::text, amount::text from warnings where next_attempt_at <= ${now}
    order by next_attempt_at limit ${limit}`);
  if (due.length === 0) return [];
  const column = (name: keyof (typeof due)[number]) => sql`${sql.param(due.map((row) => row[name]))}::text[]`;
  const claimed = await runOn(db)<{ id: string }>(sql`
    update warnings w set attempts = w.attempts + 1, next_attempt_at = ${inMs(now, forMs)}
    from unnest(${column('team_id')}, ${column('counter_id')}, ${column('threshold')}, ${column('amount')})
      as d(team_id, counter_id, threshold, amount)
    where w.team_id = d.team_id::uuid and w.counter_id = d.counter_id and w.threshold = d.threshold::int4
      and w.amount = d.amount::numeric and w.next_attempt_at <= ${now}
    returning w.id`);
  if (claimed.length === 0) return [];
  const ids = sql`${sql.param(claimed.map(({ id }) => id))}::text[]::uuid[]`;
  const rows = await runOn(db)<DueWarning & Record<string, unknown>>(sql`
    select w.id, w.team_id as "teamId", w.counter_id as "counterId", w.threshold, w.amount::text, w.settled::text,
      w.denied, ${iso(sql`w.raised_at`)} as "raisedAt", w.attempts, t.name as "teamName", c.source,
      c.source_id as "sourceId", c.subject_type as "subjectType", c.subject_id as "subjectId",
      k.name as "keyName", d.name as "departmentName", c.meter, c.models, l."window", l.enforcement,
      coalesce(l.name, g.name) as "sourceName",
      ${iso(sql`c.starts_at`)} as "startsAt", ${iso(sql`c.ends_at`)} as "endsAt"
    from warnings w
    join counters c on c.team_id = w.team_id and c.id = w.counter_id
    left join teams t on t.id = w.team_id and t.id <> ${ORGANIZATION_ID}
    left join limits l on l.id = c.source_id and c.source = 'limit'
    left join grants g on g.id = c.source_id and c.source = 'grant'
    left join keys k on c.subject_type = 'key' and k.id::text = c.subject_id
    left join departments d on c.subject_type = 'department' and d.id::text = c.subject_id
    where w.team_id = any(${column('team_id')}::uuid[]) and w.id = any(${ids})
    order by w.raised_at, w.counter_id, w.threshold`);
  return rows.map((row) => ({ ...row, window: row.window === null ? null : storedWindow.parse(row.window) }));
}

export type DeliveryEnd =
  | { outcome: 'delivered' }
  /** Null: it is given up. */
  | { outcome: 'failed'; problem: string; againInMs: number | null };

/** Writes how an attempt ended. */
export async function endDelivery(database: Database, warning: DueWarning, end: DeliveryEnd): Promise<void> {
  const { teamId, counterId, threshold, amount } = warning;
  const now = await nowOf(database);
  const change =
    end.outcome === 'delivered'
      ? sql`delivered_at = ${now}, next_attempt_at = null, problem = null`
      : sql`problem = ${end.problem}, next_attempt_at = ${end.againInMs === null ? sql`null` : inMs(now, end.againInMs)}`;
  await database.db.execute(sql`
    update warnings set ${change}
    where team_id = ${teamId} and counter_id = ${counterId} and threshold = ${threshold}
      and amount = ${amount}::numeric and delivered_at is null`);
}

/** As a value: Citus takes no function of SQL that reads a setting in an UPDATE. */
async function nowOf({ db }: Database): Promise<SQL> {
  const [row] = await runOn(db)<{ now: string }>(sql`select tollgate_now()::text as now`);
  return sql`${defined(row, 'the row of the clock').now}::timestamptz`;
}

const inMs = (now: SQL, ms: number) => sql`${now} + ${ms}::float8 * interval '1 millisecond'`;

type Column = ReturnType<typeof sql>;

/** As `Date.toISOString()` writes it, whatever time zone the session has. */
const iso = (column: Column) => sql`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
