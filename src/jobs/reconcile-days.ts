/**
 * The job `reconcile`, by the day: compares what the upstream billed for each UTC day with the ledger, and keeps what came out.
 * Owns: which days are due, and when a day is final. Does not own: the comparison (domain/reconciliation.ts), single calls of
 * unknown outcome (reconcile.ts), when it runs (every.ts). Invariants: a day that is final stays as it is; a day whose reports
 * cannot be read keeps what came out before.
 */
import type { DayInput, Reconciled } from '../domain/differences.ts';
import type { RateCards } from '../domain/price.ts';
import { reconcileDay } from '../domain/reconciliation.ts';
import { DAY_MS } from '../domain/window.ts';
import { OPERATIONS } from '../openai/operations/table.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import {
  type OperationSubjects,
  readCrossing,
  readDaysDue,
  readLedgerDay,
  readOwnKeysBefore,
  writeReconciliation,
} from '../store/reconciliation.ts';
import type { ReadDay } from './day-report.ts';

export interface ReconcileDaysOptions {
  database: Database;
  /** Name of the upstream, among several; null: there is only one. */
  upstream: string | null;
  readDay: ReadDay;
  rates: () => RateCards;
  /** The longest that a call can last at the upstream, from its admission. */
  callDurationMs: number;
  /** How late the reports may be. */
  reportDelayMs: number;
  /** Days after its end at which a day is final: until then it is computed again, at most once in an hour. */
  finalAfterDays: number;
  /** Postgres's clock. */
  nowMs: () => number;
  onDay?: (day: string, result: Reconciled, isFinal: boolean) => void;
}

/** Any number, the same in every version of Tollgate. */
const RECONCILE_DAYS_LOCK = 8_655_428_321;
/** Older days, which no replica computed in time, are left alone. */
const DAYS_BACK = 35;
const AGAIN_AFTER_MS = 3_600_000;

export const OPERATION_SUBJECTS: OperationSubjects = {
  text: [
    ...OPERATIONS.filter(({ report }) => report !== null).map(({ name }) => name),
    ...jobsOf('/evals/{eval_id}/runs'),
  ],
  batch: jobsOf('/batches'),
  training: jobsOf('/fine_tuning/jobs'),
};

function jobsOf(path: string): string[] {
  return OPERATIONS.filter((each) => each.class === 'job' && each.path === path).map(({ name }) => name);
}

/** Computes every day that is due, oldest first; returns how many. Null: another replica is at it. */
export function reconcileDays(options: ReconcileDaysOptions, signal: AbortSignal): Promise<number | null> {
  return runAlone(options.database, RECONCILE_DAYS_LOCK, () => computeDue(options, signal));
}

async function computeDue(options: ReconcileDaysOptions, signal: AbortSignal): Promise<number> {
  const { database, upstream, reportDelayMs, nowMs } = options;
  const now = nowMs();
  const today = now - (now % DAY_MS);
  // A day is complete once its last minute is in the reports.
  const last = Math.floor((now - reportDelayMs) / DAY_MS) * DAY_MS - DAY_MS;
  const due = await readDaysDue(database, upstream, {
    from: new Date(today - DAYS_BACK * DAY_MS),
    until: new Date(last),
    before: new Date(now - AGAIN_AFTER_MS),
  });
  for (const day of due) {
    signal.throwIfAborted();
    await computeDay(options, day, signal);
  }
  return due.length;
}

async function computeDay(options: ReconcileDaysOptions, day: string, signal: AbortSignal): Promise<void> {
  const { database, upstream, readDay, rates, callDurationMs, finalAfterDays, nowMs, onDay } = options;
  const dayMs = Date.parse(day);
  const of = { dayMs, upstream };
  const at = nowMs();
  const report = await readDay(dayMs, signal);
  const ownKeys = new Set(await readOwnKeysBefore(database, upstream, day));
  for (const key of report.ownKeys ?? []) ownKeys.add(key);
  const cards = rates();
  const input: DayInput = {
    ledger: await readLedgerDay(database, of, OPERATION_SUBJECTS),
    crossing: await readCrossing(database, of, callDurationMs),
    usage: report.usage,
    costs: report.costs,
    ownKeys: ownKeys.size === 0 ? null : ownKeys,
    priceOf: (model, tier) => cards.find(model, dayMs)?.tiers[tier] ?? null,
  };
  const result = reconcileDay(input);
  const isFinal = at >= dayMs + (1 + finalAfterDays) * DAY_MS;
  const own = report.ownKeys === null ? null : [...report.ownKeys];
  await writeReconciliation(database, { day, upstream, ownKeys: own, isFinal, at: new Date(at) }, result);
  onDay?.(day, result, isFinal);
}
