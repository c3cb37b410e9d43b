/** Teams and models with a label of their own, by default. */
export const TEAM_CAP = 64;
export const MODEL_CAP = 16;

/** What labels beyond the cap share, so that no number of teams or models can grow the page without end. */
export const OTHER = 'other';

/** Values by label: the first `cap` labels get their own, all later ones share the one of {@link OTHER}. */
export class LabelMap<T> {
  readonly #values = new Map<string, T>();
  readonly #cap: number;
  readonly #make: (label: string) => T;
  #other: T | null = null;

  constructor(cap: number, make: (label: string) => T) {
    this.#cap = cap;
    this.#make = make;
  }

  get(label: string): T {
    return this.#values.get(label) ?? this.#add(label);
  }

  *values(): Generator<T> {
    yield* this.#values.values();
    if (this.#other !== null) yield this.#other;
  }

  #add(label: string): T {
    if (label === OTHER || this.#values.size >= this.#cap) {
      this.#other ??= this.#make(OTHER);
      return this.#other;
    }
    const value = this.#make(label);
    this.#values.set(label, value);
    return value;
  }
}
