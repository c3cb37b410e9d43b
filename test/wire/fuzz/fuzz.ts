/** Runs cases, many at a time: they wait for turns of the loop far longer than they work. */

export interface Verdict {
  /** What became of the case, for the statistics. */
  kind: string;
  /** Where the two sides differ and no rule allows it. */
  difference?: string;
}

export interface Tally {
  cases: number;
  kinds: Record<string, number>;
  differences: string[];
}

const AT_ONCE = 200;
/** After so many the rest would say nothing new. */
const MAX_DIFFERENCES = 20;

/** Runs cases of seeds from `firstSeed` on, until there are so many or the time is over. */
export async function fuzz(
  attempt: (seed: number) => Promise<Verdict>,
  firstSeed: number,
  cases: number,
  options: { seconds?: number; onProgress?: (tally: Tally) => void } = {},
): Promise<Tally> {
  const { seconds = Number.POSITIVE_INFINITY, onProgress = () => {} } = options;
  const endMs = performance.now() + seconds * 1000;
  const tally: Tally = { cases: 0, kinds: {}, differences: [] };
  while (tally.cases < cases && tally.differences.length < MAX_DIFFERENCES && performance.now() < endMs) {
    const count = Math.min(AT_ONCE, cases - tally.cases);
    const start = firstSeed + tally.cases;
    const verdicts = await Promise.all(Array.from({ length: count }, (_, index) => attempt(start + index)));
    for (const { kind, difference } of verdicts) {
      tally.kinds[kind] = (tally.kinds[kind] ?? 0) + 1;
      if (difference !== undefined) tally.differences.push(difference);
    }
    tally.cases += count;
    onProgress(tally);
  }
  return tally;
}
