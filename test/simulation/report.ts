/** What people read of a run: a table of what happened, and for a failure all that it takes to see it again. */
import type { Fault } from './faults/fault.ts';
import { RULES } from './judge/expectations.ts';
import { type SeedResult, STEPS } from './simulate.ts';

/** Sums what all seeds went through. */
export function sumFigures(sums: Record<string, number>, { figures }: SeedResult): void {
  for (const [name, value] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + value;
}

const LABELS: Record<string, string> = {
  asked: 'calls asked for',
  forwarded: 'calls forwarded',
  waited: 'calls that waited',
  left: 'clients that left the queue',
  turnedAway: 'turned away: money of unknown outcome',
  insufficient: 'denied: spent',
  held: 'denied: held by others',
  rate_limit: 'denied: rate limit',
  unavailable: 'unavailable: Postgres',
  instances: 'instances started',
  crashes: 'instances killed',
  adoptions: 'journals adopted',
  replays: 'journals replayed',
  changes: 'rules changed',
  resets: 'limits reset',
  raises: 'limits raised for some time',
  moves: 'teams moved',
  corrected: 'charges corrected',
  released: 'charges released by policy',
  seconds: 'seconds on the fake clock',
};

export function tableOf(seeds: number, failed: number, sums: Record<string, number>, tookMs: number): string {
  const rows: [string, string][] = [
    ['seeds', seeds.toLocaleString('en')],
    ...Object.entries(LABELS).map(([name, label]): [string, string] => [
      label,
      (sums[name] ?? 0).toLocaleString('en'),
    ]),
    ['took', `${(tookMs / 1000).toFixed(1)} s`],
    ['failed', String(failed)],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  const widest = Math.max(...rows.map(([, value]) => value.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${value.padStart(widest)}`).join('\n');
}

/** A failure, and how to see it again. */
export function failureText({ seed, failure }: SeedResult, steps: number, fault: Fault | null): string {
  const { rule, message, step, stack } = failure!;
  const flags = [
    `--seed ${seed}`,
    ...(steps === STEPS ? [] : [`--steps ${steps}`]),
    ...(fault === null ? [] : [`--break ${fault.name}`]),
  ];
  return [
    `seed ${seed} failed ${step === null ? 'when all had come to rest' : `in step ${step}`}`,
    `  broken  ${RULES[rule]}`,
    `  found   ${message.replace(`${RULES[rule]}: `, '')}`,
    `  repeat  npm run simulate -- ${flags.join(' ')}`,
    ...(rule === 'crash' ? [stack] : []),
  ].join('\n');
}
