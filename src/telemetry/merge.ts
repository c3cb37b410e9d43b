/**
 * Merging: one page of what several workers report. Owns: that sums are right and never fall. A counter that fell would
 * be read as a restart, and all of it counted once more. So what an ended worker counted stays, of a worker that does
 * not report now the counters of its last report count, and a label that has a series of its own keeps it.
 */
import type { Family, Point } from './exposition.ts';
import { OTHER } from './labels.ts';

/** Labels that can take any number of values, and how many get series of their own on the merged page. */
export type LabelCaps = Readonly<Record<string, number>>;

const addsUp = ({ type }: Family) => type !== 'gauge';

export class MergedMetrics {
  readonly #caps: LabelCaps;
  /** Values that have series of their own, by label. */
  readonly #known = new Map<string, Set<string>>();
  /** Counters of the workers that have ended. */
  #ended: Family[] = [];

  constructor(caps: LabelCaps) {
    this.#caps = caps;
  }

  /** Keeps what a worker had counted when it ended. */
  retire(lastReport: readonly Family[]): void {
    this.#ended = this.#merge([this.#ended, lastReport.filter(addsUp)]);
  }

  /** @param now the present reports; @param earlier the last reports of workers that sent none now */
  merge(now: readonly (readonly Family[])[], earlier: readonly (readonly Family[])[]): Family[] {
    return this.#merge([...now, ...earlier.map((report) => report.filter(addsUp)), this.#ended]);
  }

  #merge(reports: readonly (readonly Family[])[]): Family[] {
    const merged = new Map<string, { family: Family; points: Map<string, Point> }>();
    for (const report of reports) {
      for (const family of report) {
        const known = merged.get(family.name);
        if (known && family.merge === 'first') continue;
        const { points } = known ?? { points: new Map<string, Point>() };
        if (!known) merged.set(family.name, { family, points });
        for (const point of family.points) this.#add(points, family, point);
      }
    }
    return [...merged.values()].map(({ family, points }) => ({ ...family, points: [...points.values()] }));
  }

  #add(points: Map<string, Point>, { merge }: Family, point: Point): void {
    const labels = merge === 'sum' ? this.#capped(point.labels) : point.labels;
    const key = `${point.suffix} ${JSON.stringify(labels)}`;
    const known = points.get(key);
    points.set(key, {
      ...point,
      labels,
      value: known ? combine(known.value, point.value, merge) : point.value,
    });
  }

  #capped(labels: Point['labels']): Point['labels'] {
    for (const [label, cap] of Object.entries(this.#caps)) {
      const value = labels[label];
      if (value === undefined || value === OTHER) continue;
      let known = this.#known.get(label);
      if (!known) {
        known = new Set();
        this.#known.set(label, known);
      }
      if (known.has(value)) continue;
      if (known.size >= cap) return { ...labels, [label]: OTHER };
      known.add(value);
    }
    return labels;
  }
}

function combine(a: Point['value'], b: Point['value'], merge: Family['merge']): Point['value'] {
  if (merge === 'max') return a > b ? a : b;
  if (merge === 'min') return a < b ? a : b;
  // Money is a bigint in every report.
  if (typeof a === 'bigint' && typeof b === 'bigint') return a + b;
  return Number(a) + Number(b);
}
