/**
 * The sending of warnings, as rows. Invariant: a claim puts the next attempt off before anything is sent, so no two
 * replicas send the same at once, and what a dead one claimed is sent by another.
 */

import { sql } from 'drizzle-orm';
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
  subjectType: string;
  subjectId: string;
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
  const rows = await runOn(database.db)<DueWarning & Record<string, unknown>>(sql`
    with due as (
      select team_id, counter_id, threshold, amount from warnings where next_attempt_at <= tollgate_now()
      order by next_attempt_at limit ${limit}),
    claimed as (
      update warnings w set attempts = w.attempts + 1, next_attempt_at = ${inMs(forMs)}
      from due d
      where w.team_id = d.team_id and w.counter_id = d.counter_id and w.threshold = d.threshold
        and w.amount = d.amount and w.next_attempt_at <= tollgate_now()
      returning w.*)
    select w.id, w.team_id as "teamId", w.counter_id as "counterId", w.threshold, w.amount::text, w.settled::text,
      w.denied, ${iso(sql`w.raised_at`)} as "raisedAt", w.attempts, t.name as "teamName", c.source,
      c.source_id as "sourceId", c.subject_type as "subjectType", c.subject_id as "subjectId",
      k.name as "keyName", c.meter, c.models, l."window", l.enforcement,
      ${iso(sql`c.starts_at`)} as "startsAt", ${iso(sql`c.ends_at`)} as "endsAt"
    from claimed w
    join counters c on c.team_id = w.team_id and c.id = w.counter_id
    left join teams t on t.id = w.team_id and t.id <> ${ORGANIZATION_ID}
    left join limits l on l.id = c.source_id and c.source = 'limit'
    left join keys k on c.subject_type = 'key' and k.id::text = c.subject_id
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
  const change =
    end.outcome === 'delivered'
      ? sql`delivered_at = tollgate_now(), next_attempt_at = null, problem = null`
      : sql`problem = ${end.problem}, next_attempt_at = ${end.againInMs === null ? sql`null` : inMs(end.againInMs)}`;
  await database.db.execute(sql`
    update warnings set ${change}
    where team_id = ${teamId} and counter_id = ${counterId} and threshold = ${threshold}
      and amount = ${amount}::numeric and delivered_at is null`);
}

const inMs = (ms: number) => sql`tollgate_now() + ${ms}::float8 * interval '1 millisecond'`;

type Column = ReturnType<typeof sql>;

/** As `Date.toISOString()` writes it, whatever time zone the session has. */
const iso = (column: Column) => sql`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
