/**
 * The job `reconcile`: corrects calls of unknown and estimated outcome by the upstream's own usage report. Owns: which calls are due,
 * what is read for them, and that a correction is written at most once. Does not own: what is kept
 * (domain/reconcile.ts), the correction (store/unknown.ts), when it runs (every.ts). Invariants: it only ever lowers a
 * charge, and not below what the report leaves unexplained; an error leaves every charge as it was; running it again
 * changes nothing.
 */
import { isApiError } from '../domain/errors.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import type { Price, RateCards } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { boundUnknownCost, CLOCK_MARGIN_MS, MINUTE_MS, minutesOf } from '../domain/reconcile.ts';
import { type MinuteRange, UsageReportBound } from '../domain/usage-report-bound.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { type EventRow, listUnknown } from '../store/events.ts';
import { readKnownUsage } from '../store/known-usage.ts';
import { readPrices } from '../store/rate-cards.ts';
import { correctCall } from '../store/unknown.ts';
import { type Due, readsOf, reportOf } from './due.ts';
import { REPORTED_OPERATIONS, type ReadReport } from './usage-report.ts';

export interface ReleasedCharge {
  eventId: string;
  teamId: string;
  releasedPicoUsd: PicoUsd;
  keptPicoUsd: PicoUsd;
}

export interface ReconcileOptions {
  database: Database;
  /** Name of the upstream, among several; null: there is only one. */
  upstream: string | null;
  readReport: ReadReport;
  rates: () => RateCards;
  /** The longest that a call can last at the upstream, from its admission. */
  callDurationMs: number;
  /** How late usage may appear in the report. */
  reportDelayMs: number;
  /** Postgres's clock, which the events are dated by. */
  nowMs: () => number;
  onRelease?: (release: ReleasedCharge) => void;
}

/** The result of a run: the due calls by how each ended. */
export type Tally = Record<
  'released' | 'kept' | 'unpriced' | 'outside' | 'unwitnessed' | 'contradicted',
  number
>;

export interface Reconcile {
  /**
   * Handles every unknown call that is due, once; returns null while another replica does so. After an error of the
   * report it continues with the calls that the error does not concern, then rejects with the first error.
   */
  run(signal: AbortSignal): Promise<Tally | null>;
}

/** Any number, the same in every version of Tollgate. */
const RECONCILE_LOCK = 8_655_428_302;
const PAGE_CALLS = 500;
/** A run stops reading a report after so many failures. */
const FAILURES_MAX = 3;
/** The most calls that are remembered as tried; others are tried again sooner. */
const TRIED_MAX = 50_000;

export function createReconcile(options: ReconcileOptions): Reconcile {
  const { database, upstream, readReport, rates, callDurationMs, reportDelayMs, nowMs, onRelease } = options;
  /** By event: a call without sufficient evidence is tried again, at growing intervals; after an error of the report with the next run. */
  const nextTryMs = new Map<string, number>();

  async function run(signal: AbortSignal): Promise<Tally> {
    const tally: Tally = { released: 0, kept: 0, unpriced: 0, outside: 0, unwitnessed: 0, contradicted: 0 };
    const startedMs = nowMs();
    const settledMs = startedMs - reportDelayMs;
    // The last minute that is complete in the report.
    const lastMinute = Math.floor(settledMs / MINUTE_MS) - 1;
    const before = new Date((lastMinute + 1) * MINUTE_MS - callDurationMs - CLOCK_MARGIN_MS);
    const failures: unknown[] = [];
    if (nextTryMs.size > TRIED_MAX) nextTryMs.clear();
    for await (const page of unknownPages(database, upstream, before)) {
      const due = page
        .filter((event) => (nextTryMs.get(event.id) ?? 0) <= startedMs)
        .flatMap((event) => dueOf(event, callDurationMs));
      const prices = await readPrices(database.readSql, [
        ...new Set(due.map(({ event }) => event.priceId ?? '')),
      ]);
      for (const { report, span, calls } of readsOf(due, lastMinute)) {
        signal.throwIfAborted();
        try {
          const [reported, known] = await Promise.all([
            readReport(report, span, signal),
            readKnownUsage(database.readSql, upstream, REPORTED_OPERATIONS[report], span),
          ]);
          const bound = new UsageReportBound({ span, reported, known });
          for (const call of calls) {
            tally[await settle(call, bound, prices)]++;
            const { id, createdAt } = call.event;
            nextTryMs.set(id, startedMs + (startedMs - createdAt.getTime()) / 2);
          }
        } catch (error) {
          failures.push(error);
          if (failures.length >= FAILURES_MAX) throw failures[0];
        }
      }
    }
    if (failures.length > 0) throw failures[0];
    return tally;
  }

  async function settle(
    call: Due,
    bound: UsageReportBound,
    prices: Map<string, Price>,
  ): Promise<keyof Tally> {
    const { event, life } = call;
    const charged = usd(event.costUsd);
    const unknown = { model: event.model, charged, prices: pricesOf(event, prices, rates()) };
    const charge = boundUnknownCost(unknown, bound, life);
    if ('withheld' in charge) return charge.withheld;
    const { kept } = charge;
    if (kept >= charged) return 'kept';
    const released = await correctCall(database, {
      eventId: event.id,
      cost: kept,
      reason: reasonOf(event, life, kept),
      actor: 'reconcile',
    });
    // Null or an error: an administrator has released it meanwhile.
    if (released === null || isApiError(released)) return 'kept';
    onRelease?.({
      eventId: event.id,
      teamId: event.teamId,
      releasedPicoUsd: charged - kept,
      keptPicoUsd: kept,
    });
    return 'released';
  }

  return { run: (signal) => runAlone(database, RECONCILE_LOCK, () => run(signal)) };
}

async function* unknownPages(
  database: Database,
  upstream: string | null,
  before: Date,
): AsyncGenerator<EventRow[]> {
  for (const which of ['unknown', 'estimated'] as const) yield* pagesOf(database, upstream, before, which);
}

async function* pagesOf(
  database: Database,
  upstream: string | null,
  before: Date,
  which: 'unknown' | 'estimated',
): AsyncGenerator<EventRow[]> {
  let after: { createdAt: Date; id: string } | null = null;
  for (;;) {
    const page: EventRow[] = await listUnknown(database, {
      after,
      limit: PAGE_CALLS,
      teamIds: undefined,
      upstream,
      before,
      which,
    });
    yield page;
    const last = page.at(-1);
    if (!last || page.length < PAGE_CALLS) return;
    after = { createdAt: last.createdAt, id: last.id };
  }
}

/** Nothing is left to reconcile of a call that charges nothing, or that no report covers. */
function dueOf(event: EventRow, callDurationMs: number): Due[] {
  const report = reportOf(event.operation);
  if (report === null || usd(event.costUsd) === 0n) return [];
  const createdAtMs = event.createdAt.getTime();
  return [{ event, report, life: minutesOf(createdAtMs, createdAtMs + callDurationMs) }];
}

/** Returns the price rows that the call may be billed by: its tier's, and the standard one, its fallback. */
function pricesOf(event: EventRow, prices: Map<string, Price>, rates: RateCards): Price[] {
  const asked = prices.get(event.priceId ?? '');
  if (!asked) return [];
  if (asked.tier === 'default') return [asked];
  const standard = rates.find(event.model, event.createdAt.getTime())?.tiers.default;
  return standard ? [asked, standard] : [];
}

function reasonOf({ model }: EventRow, { firstMinute, lastMinute }: MinuteRange, kept: PicoUsd): string {
  const at = (minute: number) => `${new Date(minute * MINUTE_MS).toISOString().slice(0, 16)}Z`;
  const span = `${at(firstMinute)} to ${at(lastMinute)}`;
  return `usage report of ${span}: at most $${formatUsd(kept)} is unexplained for ${model}`.slice(0, 1_000);
}
