/**
 * What Tollgate is to reach, held against a run. Ratios are medians over the rounds. Nothing fails by them: a table says
 * which are met on this machine at this time. Pure.
 */
import type { Cell, Measure } from './measure.ts';
import { ratioOf, summaryOf, table } from './report.ts';

export interface Goal {
  case: string;
  measure: Measure;
  /** What the number counts, in words. */
  what: string;
  contestant: string;
  /** The gateway that it is a multiple of; null: the number itself. */
  over: string | null;
  most: number;
}

function goal(caseName: string, measure: Measure, what: string, over: string | null, most: number): Goal {
  const contestant = over === 'tollgate' ? 'workers' : 'tollgate';
  return { case: caseName, measure, what, contestant, over, most };
}

const CPU_CASES = ['json-1', 'json-16', 'json-64', 'json-32k', 'rate-50', 'stream'];

export const GOALS: readonly Goal[] = [
  goal('json-1', 'cpuUs', 'CPU', 'previous', 0.4),
  goal('json-16', 'cpuUs', 'CPU', 'previous', 0.5),
  goal('json-64', 'cpuUs', 'CPU', 'previous', 0.5),
  goal('json-32k', 'cpuUs', 'CPU', 'previous', 0.5),
  goal('rate-50', 'cpuUs', 'CPU', 'previous', 0.5),
  goal('stream', 'cpuUs', 'CPU', 'previous', 0.8),
  goal('json-1', 'cpuUs', 'CPU', 'bare', 1.5),
  goal('json-16', 'cpuUs', 'CPU', 'bare', 1.8),
  goal('json-64', 'cpuUs', 'CPU', 'bare', 1.5),
  goal('json-64', 'cpuUs', 'CPU of 2 workers', 'tollgate', 1.1),
  ...CPU_CASES.map((name) => goal(name, 'databaseCpuUs', 'CPU of the database', 'previous', 1.05)),
  goal('json-64', 'rssPeakMb', 'peak RSS', 'previous', 0.65),
  goal('streams-2000', 'rssMb', 'RSS', 'previous', 0.65),
  goal('frames', 'frameCpuUs', 'CPU for a frame', 'bare', 1.5),
  goal('sessions-2000', 'sessionKb', 'RSS of an idle session, kB', null, 40),
  goal('sessions-2000', 'usedSessionKb', 'RSS of one after a response, kB', null, 40),
  goal('idle-fresh', 'rssMb', 'RSS, MB', null, 160),
  goal('idle', 'idlePercent', 'CPU, % of a core', null, 0.3),
  goal('start', 'firstCallExtraMs', 'first call − warm call, ms', null, 25),
];

/** Returns a line for each goal whose numbers were measured; empty when there is none. */
export function goalsReached(cells: readonly Cell[], goals: readonly Goal[] = GOALS): string {
  const columns = [['case'], ['what'], ['of'], ['measured'], ['goal'], ['']];
  for (const { case: caseName, measure, what, contestant, over, most } of goals) {
    const summary =
      over === null
        ? summaryOf(cells, caseName, contestant, measure)
        : ratioOf(cells, caseName, [contestant, over], measure);
    if (summary === null) continue;
    const unit = over === null ? '' : ` × ${over}`;
    const texts = [
      caseName,
      what,
      contestant,
      `${summary.median.toFixed(2)}${unit}`,
      `≤ ${most.toFixed(2)}`,
      summary.median <= most ? 'met' : 'missed',
    ];
    for (const [index, text] of texts.entries()) columns[index]?.push(text);
  }
  return columns[0]?.length === 1 ? '' : table(columns);
}
