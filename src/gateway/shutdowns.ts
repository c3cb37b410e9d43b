/**
 * Models that the upstream will stop to serve, as its list of models says. Owns: the dates that passed through this process. Only
 * warns: whether a model serves is the upstream's word.
 */

/** So long before its end calls of a model are warned. */
const WARNED_MS = 90 * 24 * 3_600_000;

export class Shutdowns {
  /** Days (YYYY-MM-DD) by model. */
  readonly dates = new Map<string, string>();

  /** @param date null: no end is set */
  note(model: string, date: string | null): void {
    if (date === null) this.dates.delete(model);
    else this.dates.set(model, date);
  }

  /** Returns the value of `x-tollgate-warning` on a call of the model; null: its end is far, or not set. */
  headerOf(model: string, nowMs: number): string | null {
    const date = this.dates.get(model);
    if (date === undefined || Date.parse(date) - nowMs > WARNED_MS) return null;
    return `${model}; shutdown_date=${date}`;
  }
}
