/**
 * What the upstream's usage report leaves unexplained. Owns: the most that a call of unknown outcome can have used, given
 * the report by the minute and the calls whose usage is known. Does not own: money (reconcile.ts).
 * Invariant: for every way in which the report can have come about, a call's true usage is at most what is returned.
 *
 * In which minute a call is reported is not known; only that it lies in the call's life. So a known call explains usage
 * of a span of minutes only if its whole life lies in it, and any span around an unknown call's life bounds it:
 * true usage ≤ reported in the span − known to lie in the span. The span that leaves least decides, for each meter.
 */
import { namesOf } from './price.ts';
import type { Quantities } from './quantities.ts';

/**
 * Quantities as the report tells them, and what of the input was neither read from the cache nor written to it. Each is
 * bounded for itself, so they need not add up. Sums stay far below 2^53.
 */
export type ReportedQuantities = Pick<
  Required<Quantities>,
  'input_tokens' | 'cached_input_tokens' | 'cache_write_tokens' | 'output_tokens'
> & { uncached_input_tokens: number };

/** Whole minutes since the epoch, both inclusive. */
export interface MinuteRange {
  firstMinute: number;
  lastMinute: number;
}

/** What the report says of a model in a minute. Where it does not tell the kinds of input apart, the most of each. */
export interface ReportedUsage {
  minute: number;
  /** Null: the report does not say. */
  model: string | null;
  usage: ReportedQuantities;
}

/** Calls with the same life whose usage the upstream reported in its responses. */
export interface KnownUsage extends MinuteRange {
  /** As the client asked for it. */
  model: string;
  /** As the answer named it; null: it did not. */
  responseModel: string | null;
  usage: ReportedQuantities;
}

export interface UsageReportRead {
  /** The minutes that the report covers, all of them. */
  span: MinuteRange;
  reported: readonly ReportedUsage[];
  known: readonly KnownUsage[];
}

/**
 * Why a report is no evidence. `outside`: the call may have lasted beyond it. `unwitnessed`: it shows none of our own
 * calls, so it may be late or of another organization. `contradicted`: it lacks usage that we know of.
 */
export type NoEvidence = 'outside' | 'unwitnessed' | 'contradicted';

/** By meter, a square of minutes: the least that any span around `[first, last]` leaves unexplained. */
type Unexplained = Record<keyof ReportedQuantities, Float64Array>;

export class UsageReportBound {
  readonly #read: UsageReportRead;
  readonly #minutes: number;
  /** By requested model, the names in responses; all without their snapshot's date. */
  readonly #answeredAs = new Map<string, Set<string>>();
  /** Names in responses: usage of such a name is no other model's. */
  readonly #answered = new Set<string>();
  /** By model; under null, of all models together. */
  readonly #unexplained = new Map<string | null, Unexplained | NoEvidence>();

  /** Throws a RangeError on usage outside of the span: something else was read than was asked for. */
  constructor(read: UsageReportRead) {
    const { firstMinute, lastMinute } = read.span;
    const outside = (minute: number) => minute < firstMinute || minute > lastMinute;
    if (
      read.reported.some((row) => outside(row.minute)) ||
      read.known.some((row) => outside(row.firstMinute) || outside(row.lastMinute))
    ) {
      throw new RangeError('usage outside of the minutes that were read');
    }
    this.#read = read;
    this.#minutes = lastMinute - firstMinute + 1;
    for (const known of read.known) {
      const asked = familyOf(known.model);
      const names = this.#answeredAs.get(asked) ?? new Set();
      names.add(answerOf(known));
      this.#answeredAs.set(asked, names);
      this.#answered.add(answerOf(known));
    }
  }

  /** The most that a call to this model, which lived within the span, can have used. */
  unexplained(model: string, span: MinuteRange): ReportedQuantities | NoEvidence {
    const first = span.firstMinute - this.#read.span.firstMinute;
    const last = span.lastMinute - this.#read.span.firstMinute;
    if (first < 0 || last >= this.#minutes) return 'outside';
    const at = first * this.#minutes + last;
    let least: ReportedQuantities | null = null;
    for (const scope of this.#scopesOf(model)) {
      const unexplained = this.#unexplainedIn(scope);
      if (typeof unexplained === 'string') return unexplained;
      const left = (meter: keyof ReportedQuantities) =>
        Math.min(unexplained[meter][at] ?? 0, least?.[meter] ?? Number.POSITIVE_INFINITY);
      least = {
        input_tokens: left('input_tokens'),
        uncached_input_tokens: left('uncached_input_tokens'),
        cached_input_tokens: left('cached_input_tokens'),
        cache_write_tokens: left('cache_write_tokens'),
        output_tokens: left('output_tokens'),
      };
    }
    return least ?? 'outside';
  }

  /**
   * Whose usage may be the call's: any model's; and its own model's, when responses of that model always had its
   * own name (an alias is served by who knows which model).
   */
  #scopesOf(model: string): (string | null)[] {
    const family = familyOf(model);
    const names = this.#answeredAs.get(family);
    return names?.size === 1 && names.has(family) ? [null, family] : [null];
  }

  #unexplainedIn(scope: string | null): Unexplained | NoEvidence {
    let unexplained = this.#unexplained.get(scope);
    if (unexplained === undefined) {
      unexplained = this.#unexplainedOf(scope);
      this.#unexplained.set(scope, unexplained);
    }
    return unexplained;
  }

  #unexplainedOf(scope: string | null): Unexplained | NoEvidence {
    const { reported, known } = this.#read;
    const may = (name: string | null) => {
      if (scope === null || name === null) return true;
      const family = familyOf(name);
      // A name that no answer bore may be the report's own word for any model.
      return family === scope || !this.#answered.has(family);
    };
    const mine = reported.filter((row) => may(row.model));
    const ours = known.filter((row) => scope === null || answerOf(row) === scope);
    if (!ours.some(({ usage }) => usage.input_tokens > 0)) return 'unwitnessed';
    const input = this.#leastOf('input_tokens', mine, ours);
    const uncached = this.#leastOf('uncached_input_tokens', mine, ours);
    const cached = this.#leastOf('cached_input_tokens', mine, ours);
    const written = this.#leastOf('cache_write_tokens', mine, ours);
    const output = this.#leastOf('output_tokens', mine, ours);
    if (!input || !uncached || !cached || !written || !output) return 'contradicted';
    return {
      input_tokens: input,
      uncached_input_tokens: uncached,
      cached_input_tokens: cached,
      cache_write_tokens: written,
      output_tokens: output,
    };
  }

  /** Null: some span is reported with less than we know to lie in it. */
  #leastOf(
    meter: keyof ReportedQuantities,
    reported: readonly ReportedUsage[],
    known: readonly KnownUsage[],
  ): Float64Array | null {
    const minutes = this.#minutes;
    const { firstMinute } = this.#read.span;
    const perMinute = new Float64Array(minutes);
    for (const row of reported) add(perMinute, row.minute - firstMinute, row.usage[meter]);
    const knownByFirst = Map.groupBy(known, (row) => row.firstMinute - firstMinute);
    const left = new Float64Array(minutes * minutes);
    // By its last minute, what is known to lie in the span that begins at `first`.
    const contained = new Float64Array(minutes);
    for (let first = minutes - 1; first >= 0; first--) {
      const beginning = new Float64Array(minutes);
      for (const row of knownByFirst.get(first) ?? []) {
        add(beginning, row.lastMinute - firstMinute, row.usage[meter]);
      }
      let reportedSum = 0;
      let beginningSum = 0;
      for (let last = first; last < minutes; last++) {
        reportedSum += perMinute[last] ?? 0;
        beginningSum += beginning[last] ?? 0;
        const rest = reportedSum - add(contained, last, beginningSum);
        if (rest < 0) return null;
        left[first * minutes + last] = rest;
      }
    }
    return leastAround(left, minutes);
  }
}

/** Adds to a number of a list; returns the sum. Numbers beyond the list are none: the caller keeps within the span. */
function add(numbers: Float64Array, at: number, amount: number): number {
  const sum = (numbers[at] ?? 0) + amount;
  numbers[at] = sum;
  return sum;
}

/** Makes each span's number the least of all spans around it. */
function leastAround(left: Float64Array, minutes: number): Float64Array {
  for (let first = 0; first < minutes; first++) {
    for (let last = minutes - 1; last >= first; last--) {
      const at = first * minutes + last;
      let least = left[at] ?? 0;
      if (first > 0) least = Math.min(least, left[at - minutes] ?? 0);
      if (last < minutes - 1) least = Math.min(least, left[at + 1] ?? 0);
      left[at] = least;
    }
  }
  return left;
}

/** A model's name without the date of a snapshot. */
function familyOf(model: string): string {
  return namesOf(model).at(-1) ?? model;
}

function answerOf({ model, responseModel }: KnownUsage): string {
  return familyOf(responseModel ?? model);
}
