/** `npm run fuzz -- --wire`. */
import { fuzz, type Tally, type Verdict } from './fuzz.ts';
import { tryRequests } from './requests.ts';
import { tryResponse } from './responses.ts';

const PROGRESS_EVERY_MS = 5000;

const SIDES: Record<string, (seed: number) => Promise<Verdict>> = {
  requests: tryRequests,
  responses: tryResponse,
};

export const WIRE_OPTIONS = {
  cases: { type: 'string', default: '100000' },
  seed: { type: 'string', default: '1' },
  seconds: { type: 'string', default: 'Infinity' },
  side: { type: 'string', default: 'both' },
} as const;

/** Returns the exit code. */
export async function fuzzWire(values: Record<keyof typeof WIRE_OPTIONS, string>): Promise<number> {
  // Many cases end in an error; where it was made is of no interest.
  Error.stackTraceLimit = 0;
  let isSame = true;
  for (const [name, attempt] of Object.entries(SIDES)) {
    if (values.side !== 'both' && values.side !== name) continue;
    let saidMs = performance.now();
    const startedMs = saidMs;
    const onProgress = ({ cases }: Tally) => {
      if (performance.now() - saidMs < PROGRESS_EVERY_MS) return;
      saidMs = performance.now();
      process.stderr.write(`${name}: ${cases} of ${values.cases}\n`);
    };
    const limits = { seconds: Number(values.seconds), onProgress };
    const tally = await fuzz(attempt, Number(values.seed), Number(values.cases), limits);
    process.stdout.write(`${report(name, tally, performance.now() - startedMs)}\n`);
    if (tally.differences.length > 0) isSame = false;
  }
  return isSame ? 0 : 1;
}

/** Long runs of one letter say nothing. */
function shortened(text: string): string {
  return text.replace(/([a-z])\1{20,}/g, '$1…$1');
}

function report(name: string, { cases, kinds, differences }: Tally, elapsedMs: number): string {
  const counts = Object.entries(kinds).map(([kind, count]) => `  ${String(count).padStart(9)} ${kind}`);
  return [
    `${name}: ${cases} cases in ${Math.round(elapsedMs / 1000)} s`,
    ...counts,
    ...differences.map(shortened),
  ].join('\n');
}
