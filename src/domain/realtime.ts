/**
 * What a realtime conversation weighs at most when it is read again. Owns: the sum of what was put into it, by what is billed at
 * prices of its own. Does not own: what an item weighs (openai/realtime.ts), nor the model's window (the estimate).
 * Invariant: a response that reads the conversation reads no more of any kind than `most` says, whatever the upstream left out before.
 *
 * What the upstream reported for a response, and what it wrote, is all of the conversation until then, unless something was left
 * out of it: that may come back. So a report counts only while nothing can have been left out.
 */

/** Tokens by what they are of. */
export interface Weight {
  readonly text: number;
  readonly audio: number;
  readonly image: number;
}

export const WEIGHTLESS: Weight = { text: 0, audio: 0, image: 0 };

/** An image whose tokens nothing says: the model's window bounds it. */
export const UNKNOWN_IMAGE_TOKENS = 100_000_000;

export function added(a: Weight, b: Weight): Weight {
  return { text: a.text + b.text, audio: a.audio + b.audio, image: a.image + b.image };
}

export function times(weight: Weight, count: number): Weight {
  return { text: weight.text * count, audio: weight.audio * count, image: weight.image * count };
}

export function tokensOf({ text, audio, image }: Weight): number {
  return text + audio + image;
}

function without(a: Weight, b: Weight): Weight {
  return { text: a.text - b.text, audio: a.audio - b.audio, image: a.image - b.image };
}

/** A conversation at the moment at which a response was asked for. */
export interface Moment {
  readonly all: Weight;
  readonly preface: number;
}

export class ConversationBound {
  /** Of all that was ever put in. */
  #all = WEIGHTLESS;
  /** At the last report: what was reported, and `#all` then; null: no report counts. */
  #report: { readonly weight: Weight; readonly all: Weight; readonly preface: number } | null = null;
  /** More may have been in it than its room: a part may have been left out. */
  #overflowed = false;
  #prefaceTokens = 0;
  #preface = 0;

  add(weight: Weight): void {
    this.#all = added(this.#all, weight);
  }

  /** Instructions and tools were replaced. */
  setPreface(tokens: number): void {
    this.#prefaceTokens = tokens;
    this.#preface++;
  }

  /** @param room tokens above which the upstream may leave something out; null: it is not known */
  fits(weight: Weight, room: number | null): void {
    if (room === null || tokensOf(weight) > room) this.#overflowed = true;
  }

  now(): Moment {
    return { all: this.#all, preface: this.#preface };
  }

  /** The most that a response reads now. @param ownPreface tokens of instructions and tools of its own; null: the session's */
  most(ownPreface: number | null): Weight {
    const report = this.#overflowed ? null : this.#report;
    if (report === null) {
      return added(this.#all, { ...WEIGHTLESS, text: ownPreface ?? this.#prefaceTokens });
    }
    const since = added(report.weight, without(this.#all, report.all));
    // The report has the instructions of then: those of now may come on top.
    const isSame = ownPreface === null && report.preface === this.#preface;
    return isSame ? since : added(since, { ...WEIGHTLESS, text: ownPreface ?? this.#prefaceTokens });
  }

  /**
   * Takes what a response of the conversation was reported to have read. To be called before what it wrote is added.
   * @param hadOwnPreface it had instructions or tools of its own
   */
  reported(weight: Weight, moment: Moment, hadOwnPreface: boolean): void {
    const preface = hadOwnPreface ? -1 : moment.preface;
    this.#report = { weight, all: moment.all, preface };
  }
}

/** Where the input buffer begins and ends in all audio of a session, in seconds. What was not committed may be at any moment. */
export class InputAudio {
  #end = 0;
  #begin = 0;
  /** Where the upstream heard a turn end; null: it said nothing of the next commit. */
  #turnEnd: number | null = null;

  append(seconds: number): void {
    this.#end += seconds;
  }

  /** All of it was committed or thrown away. */
  cut(): void {
    this.#begin = this.#end;
    this.#turnEnd = null;
  }

  turnEnds(seconds: number): void {
    this.#turnEnd = seconds;
  }

  /** A turn was committed. Returns the most that it has; what stands behind it may be committed next. */
  commitTurn(): number {
    const most = this.pending;
    if (this.#turnEnd === null) return most;
    // The upstream counts in milliseconds.
    const seconds = Math.min(most, Math.max(0, this.#turnEnd + 0.001 - this.#begin));
    this.#begin = Math.min(this.#end, Math.max(this.#begin, this.#turnEnd));
    this.#turnEnd = null;
    return seconds;
  }

  get pending(): number {
    return this.#end - this.#begin;
  }
}
