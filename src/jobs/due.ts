/** Unknown calls that are due, and how they share reads of the usage report. */
import { defined } from '../domain/defined.ts';
import type { MinuteRange } from '../domain/usage-report-bound.ts';
import type { EventRow } from '../store/events.ts';
import { REPORTED_OPERATIONS, type ReportName } from './usage-report.ts';

/** An unknown call whose usage must be in the report by now. */
export interface Due {
  event: EventRow;
  report: ReportName;
  /** The minutes under which the upstream may report it. */
  life: MinuteRange;
}

/** One read of the report, and the calls that it decides. */
export interface Read {
  report: ReportName;
  span: MinuteRange;
  calls: Due[];
}

/** Minutes read before and after a call: known calls there bound the usage at its edges. */
const AROUND_MINUTES = 60;
/** How much later than the first a call may end to share its read: the computation grows with its square. */
const SHARED_MINUTES = 120;

/**
 * Groups calls (oldest first) into reads that end at `lastMinute` at the latest: later minutes are not complete yet.
 */
export function readsOf(due: readonly Due[], lastMinute: number): Read[] {
  const reads: Read[] = [];
  for (const [report, calls] of Map.groupBy(due, (call) => call.report)) {
    let group: Due[] = [];
    for (const call of calls) {
      const first = group[0];
      if (first && call.life.lastMinute > first.life.lastMinute + SHARED_MINUTES) {
        reads.push(readOf(report, group, lastMinute));
        group = [];
      }
      group.push(call);
    }
    reads.push(readOf(report, group, lastMinute));
  }
  return reads;
}

function readOf(report: ReportName, calls: Due[], lastMinute: number): Read {
  const first = defined(calls[0], 'a call to read the report for');
  const last = calls.at(-1) ?? first;
  const span = {
    firstMinute: first.life.firstMinute - AROUND_MINUTES,
    lastMinute: Math.min(lastMinute, last.life.lastMinute + AROUND_MINUTES),
  };
  return { report, span, calls };
}

/** Returns the report that covers an operation; null for an operation that costs nothing. */
export function reportOf(operation: string): ReportName | null {
  for (const [report, operations] of Object.entries(REPORTED_OPERATIONS)) {
    if ((operations as readonly string[]).includes(operation)) return report as ReportName;
  }
  return null;
}
