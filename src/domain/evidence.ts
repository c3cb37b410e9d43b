/**
 * Evidence: what the upstream's usage report leaves unexplained. Owns: the most tokens that a call of unknown outcome can
 * have used, given the report by the minute and the calls whose usage we know. Does not own: money (reconcile.ts).
 * Invariant: for every way in which the report can have come about, a call's true usage is at most what is answered.
 *
 * Which minute a call is reported in, nobody says; only that it lies in the call's life. So a known call explains usage
 * of a span of minutes only if its whole life lies in it, and any span around an unknown call's life bounds it:
 * true usage ≤ reported in the span − known to lie in the span. The span that says least decides, for each kind of token.
 */
import { namesOf } from './price.ts';

/** Tokens of one kind of input are part of `inputTokens`; sums stay far below 2^53. */
export interface TokenCounts {
  inputTokens: number;
  uncachedInputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
}

/** Whole minutes since the epoch, both inclusive. */
export interface MinuteSpan {
  firstMinute: number;
  lastMinute: number;
}

/** What the report says of a model in a minute. Where it does not tell the kinds of input apart, the most of each. */
export interface ReportedUsage {
  minute: number;
  /** Null: the report does not say. */
  model: string | null;
  tokens: TokenCounts;
}

/** Calls with the same life whose usage the upstream told us when it answered. */
export interface KnownUsage extends MinuteSpan {
  /** As the client asked for it. */
  model: string;
  /** As the answer named it; null: it did not. */
  responseModel: string | null;
  tokens: TokenCounts;
}

export interface EvidenceRead {
  /** The minutes that the report covers, all of them. */
  span: MinuteSpan;
  reported: readonly ReportedUsage[];
  known: readonly KnownUsage[];
}

/**
 * Why a report is no evidence. `outside`: the call may have lasted beyond it. `unwitnessed`: it shows none of our own
 * calls, so it may be late or of another organization. `contradicted`: it lacks usage that we know of.
 */
export type NoEvidence = 'outside' | 'unwitnessed' | 'contradicted';

const METERS = [
  'inputTokens',
  'uncachedInputTokens',
  'cachedInputTokens',
  'cacheWriteTokens',
  'outputTokens',
] as const satisfies (keyof TokenCounts)[];

/** By meter, a square of minutes: the least that any span around `[first, last]` leaves unexplained. */
type Leftovers = Record<(typeof METERS)[number], Float64Array>;

export class Evidence {
  readonly #read: EvidenceRead;
  readonly #minutes: number;
  /** By requested model, the names that answers gave; all without their snapshot's date. */
  readonly #answeredAs = new Map<string, Set<string>>();
  /** Names under which answers came: usage of such a name is no other model's. */
  readonly #answered = new Set<string>();
  /** By model; under null, of all models together. */
  readonly #leftovers = new Map<string | null, Leftovers | NoEvidence>();

  /** Throws a RangeError on usage outside of the span: whoever read it has read something else. */
  constructor(read: EvidenceRead) {
    const { firstMinute, lastMinute } = read.span;
    const outside = (minute: number) => minute < firstMinute || minute > lastMinute;
    if (
      read.reported.some((row) => outside(row.minute)) ||
      read.known.some((row) => outside(row.firstMinute) || outside(row.lastMinute))
    ) {
      throw new RangeError('usage outside of the evidence');
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
  unexplained(model: string, span: MinuteSpan): TokenCounts | NoEvidence {
    const first = span.firstMinute - this.#read.span.firstMinute;
    const last = span.lastMinute - this.#read.span.firstMinute;
    if (first < 0 || last >= this.#minutes) return 'outside';
    const at = first * this.#minutes + last;
    let least: TokenCounts | null = null;
    for (const scope of this.#scopesOf(model)) {
      const leftovers = this.#leftoversIn(scope);
      if (typeof leftovers === 'string') return leftovers;
      const left = (meter: keyof TokenCounts) => Math.min(leftovers[meter][at]!, least?.[meter] ?? Infinity);
      least = {
        inputTokens: left('inputTokens'),
        uncachedInputTokens: left('uncachedInputTokens'),
        cachedInputTokens: left('cachedInputTokens'),
        cacheWriteTokens: left('cacheWriteTokens'),
        outputTokens: left('outputTokens'),
      };
    }
    return least!;
  }

  /**
   * Whose usage may be the call's: anybody's; and its own model's, when answers to that model always came under its
   * own name (an alias is served by who knows which model).
   */
  #scopesOf(model: string): (string | null)[] {
    const family = familyOf(model);
    const names = this.#answeredAs.get(family);
    return names?.size === 1 && names.has(family) ? [null, family] : [null];
  }

  #leftoversIn(scope: string | null): Leftovers | NoEvidence {
    let leftovers = this.#leftovers.get(scope);
    if (leftovers === undefined) {
      leftovers = this.#leftoversOf(scope);
      this.#leftovers.set(scope, leftovers);
    }
    return leftovers;
  }

  #leftoversOf(scope: string | null): Leftovers | NoEvidence {
    const { reported, known } = this.#read;
    const may = (name: string | null) => {
      if (scope === null || name === null) return true;
      const family = familyOf(name);
      // A name that no answer bore may be the report's own word for any model.
      return family === scope || !this.#answered.has(family);
    };
    const mine = reported.filter((row) => may(row.model));
    const ours = known.filter((row) => scope === null || answerOf(row) === scope);
    if (!ours.some(({ tokens }) => tokens.inputTokens > 0)) return 'unwitnessed';
    const leftovers = {} as Leftovers;
    for (const meter of METERS) {
      const least = this.#leastOf(meter, mine, ours);
      if (least === null) return 'contradicted';
      leftovers[meter] = least;
    }
    return leftovers;
  }

  /** Null: some span is reported with less than we know to lie in it. */
  #leastOf(
    meter: keyof TokenCounts,
    reported: readonly ReportedUsage[],
    known: readonly KnownUsage[],
  ): Float64Array | null {
    const minutes = this.#minutes;
    const { firstMinute } = this.#read.span;
    const perMinute = new Float64Array(minutes);
    for (const row of reported) perMinute[row.minute - firstMinute]! += row.tokens[meter];
    const knownByFirst = Map.groupBy(known, (row) => row.firstMinute - firstMinute);
    const left = new Float64Array(minutes * minutes);
    // By its last minute, what is known to lie in the span that begins at `first`.
    const contained = new Float64Array(minutes);
    for (let first = minutes - 1; first >= 0; first--) {
      const beginning = new Float64Array(minutes);
      for (const row of knownByFirst.get(first) ?? []) {
        beginning[row.lastMinute - firstMinute]! += row.tokens[meter];
      }
      let reportedSum = 0;
      let beginningSum = 0;
      for (let last = first; last < minutes; last++) {
        reportedSum += perMinute[last]!;
        beginningSum += beginning[last]!;
        contained[last]! += beginningSum;
        const rest = reportedSum - contained[last]!;
        if (rest < 0) return null;
        left[first * minutes + last] = rest;
      }
    }
    return leastAround(left, minutes);
  }
}

/** Makes each span's number the least of all spans around it. */
function leastAround(left: Float64Array, minutes: number): Float64Array {
  for (let first = 0; first < minutes; first++) {
    for (let last = minutes - 1; last >= first; last--) {
      const at = first * minutes + last;
      if (first > 0) left[at] = Math.min(left[at]!, left[at - minutes]!);
      if (last < minutes - 1) left[at] = Math.min(left[at]!, left[at + 1]!);
    }
  }
  return left;
}

/** A model's name without the date of a snapshot. */
function familyOf(model: string): string {
  return namesOf(model).at(-1)!;
}

function answerOf({ model, responseModel }: KnownUsage): string {
  return familyOf(responseModel ?? model);
}
