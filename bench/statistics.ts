/** The few statistics that the bench needs. Pure. */

/** The value below which `share` (0 to 1) of the sorted values lie. NaN when there are none. */
function quantile(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export interface Percentiles {
  p50Us: number;
  p99Us: number;
}

export function percentiles(valuesUs: number[]): Percentiles {
  const sorted = valuesUs.toSorted((a, b) => a - b);
  return { p50Us: quantile(sorted, 0.5), p99Us: quantile(sorted, 0.99) };
}

export interface Summary {
  median: number;
  min: number;
  max: number;
}

/** Median and spread of one number over the rounds; of an even number of values the mean of the middle two. */
export function summarize(values: number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (quantile(sorted, 0.5) + sorted[Math.ceil(middle) - 1]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}
