/**
 * Anchors: what the upstream counted for earlier calls bounds later ones that share leading items: the count, and the bytes
 * of all that follows. Owns: the counts, in this process's memory. Does not own: which items a call has (openai/input-parts.ts).
 * Invariants: each anchor is a bound on its own, so to lose one is safe; counts come from reported usage alone, and of one
 * key and setting only fall; no team meets another's; a bill above its bound ends all anchors of its model for an hour.
 */
import { LRUCache } from 'lru-cache';
import { type ImageInput, type ImageRule, imageTokens } from '../domain/images.ts';
import type { Given, InputCount } from '../domain/input-count.ts';
import type { ReasoningContext } from '../domain/kept.ts';
import type { BeyondText, SentReasoning } from '../domain/operation.ts';
import { FINGERPRINT_CHARACTERS, type InputParts } from '../openai/input-parts.ts';

/** What the upstream counted with some tools, instructions and formats. */
interface Setting {
  readonly elements: string;
  readonly given: Given;
  readonly tokens: number;
  readonly untilMs: number;
}

interface Anchor {
  readonly model: string;
  readonly settings: readonly Setting[];
}

/** What one call found, and where its own count is to be written. */
export interface AnchorUse {
  readonly teamId: string;
  readonly model: string;
  /** The most input tokens by what was counted, before or now; null: nothing was. */
  readonly bound: number | null;
  /** Of the first of its items, and last of all of them. */
  readonly fingerprints: readonly string[];
  readonly elements: string;
  readonly hasReasoning: boolean;
  /** What of earlier reasoning the request says that it is to be given. */
  readonly wanted: ReasoningContext;
}

/** Whose call it is, and the model as it is sent. */
export interface AnchorScope {
  readonly teamId: string;
  readonly model: string;
  /** What of earlier reasoning the request says that it is to be given. */
  readonly wanted: ReasoningContext;
}

const ANCHORS_MAX = 50_000;
const ANCHORS_BYTES_MAX = 32 * 1024 * 1024;
/** Of an entry beside its settings. */
const ANCHOR_BYTES = 256;
const SETTINGS_MAX = 3;
const KEPT_MS = 24 * 3_600_000;
const BROKEN_MS = 3_600_000;
/** Anchors that one call looks at, the longest first. */
const LOOKED_AT_MAX = 16;
/** Ends of the user's messages that a call writes its count at, the last ones. */
const TURNS_KEPT = 8;
/** A team that continues a conversation most likely begins others soon. */
const CONTINUING_MS = 3_600_000;
const TEAMS_MAX = 10_000;
/** An agent's next call has a few items more than its last one, whose count stands at all of its items. */
const LAST_ENDS = 12;
/** Once for each bound: what the upstream writes by the day or the length of a conversation (a date, a reminder). */
export const HIDDEN_TOKENS = 64;

export class Anchors {
  readonly #anchors = new LRUCache<string, Anchor>({
    max: ANCHORS_MAX,
    maxSize: ANCHORS_BYTES_MAX,
    sizeCalculation: ({ settings }) =>
      settings.reduce((bytes, { elements }) => bytes + elements.length, ANCHOR_BYTES),
  });
  /** Until when what a team's calls begin with is remembered, in milliseconds since the epoch. */
  readonly #continuing = new LRUCache<string, number>({ max: TEAMS_MAX });
  /** Until when a model has none, in milliseconds since the epoch. */
  readonly #broken = new Map<string, number>();
  readonly #onLearned: ((count: InputCount) => void) | null;

  /** @param onLearned gets what was learned here; null: no one else has to know */
  constructor(onLearned: ((count: InputCount) => void) | null = null) {
    this.#onLearned = onLearned;
  }

  /**
   * Whether the first call of a conversation is worth its fingerprints: its team has continued one within the hour. Where it
   * has not, that would be work for nothing in each of its calls.
   */
  isContinuing(teamId: string, nowMs: number): boolean {
    return nowMs < (this.#continuing.get(teamId) ?? 0);
  }

  /** Returns what is known of a call's input; null: nothing may be. */
  find(
    { teamId, model, wanted }: AnchorScope,
    parts: InputParts,
    beyond: BeyondText | null,
    rule: ImageRule | null,
    nowMs: number,
  ): AnchorUse | null {
    if (parts.isContinued) this.#continuing.set(teamId, nowMs + CONTINUING_MS);
    if (this.isBroken(model, nowMs)) return null;
    const images = tokensOfImages(parts, beyond, rule);
    if (images === null) return null;
    const { chain, root, turns, elements, weights } = parts;
    const sent = beyond?.reasoning ?? [];
    // Each reference is reasoning here, and was recalled.
    if (sent.length !== (beyond?.references?.length ?? 0)) return null;
    const reasoning = sent.length === 0 ? NO_REASONING : weighReasoning(sent, weights);
    const keyOf = (fingerprint: string) => keyOfCount({ teamId, model, fingerprint });
    const bound = this.#boundOf(
      { parts, images, reasoning, wanted, moreTokens: beyond?.moreTokens ?? 0 },
      keyOf,
      nowMs,
    );
    const ends = new Set([1, ...turns.slice(-TURNS_KEPT), chain.length - 1]);
    const fingerprints = [root];
    for (const end of ends) {
      const fingerprint = chain[end];
      if (fingerprint !== undefined) fingerprints.push(fingerprint);
    }
    return { teamId, model, bound, fingerprints, elements, hasReasoning: sent.length > 0, wanted };
  }

  /**
   * Keeps the input tokens that the upstream reported for a call: none of its leading items can have cost more.
   * @param said what of earlier reasoning the call was given, as its response says
   */
  learn(use: AnchorUse, tokens: number, said: ReasoningContext, nowMs: number): void {
    const { teamId, model, fingerprints, elements, hasReasoning, wanted } = use;
    if (this.isBroken(model, nowMs)) return;
    const isAll = !hasReasoning || said === 'all_turns';
    const isTurn = said === 'current_turn' && wanted === 'current_turn';
    for (const [index, fingerprint] of fingerprints.entries()) {
      const given: Given = isAll ? 'all' : isTurn && index === fingerprints.length - 1 ? 'turn' : 'some';
      const count = { teamId, model, fingerprint, elements, given, tokens, untilMs: nowMs + KEPT_MS };
      if (this.#keep(count, nowMs)) this.#onLearned?.(count);
    }
  }

  /** Takes over what others have learned. */
  take(counts: readonly InputCount[], nowMs: number): void {
    for (const count of counts) {
      this.#continuing.set(count.teamId, nowMs + CONTINUING_MS);
      if (nowMs < count.untilMs && !this.isBroken(count.model, nowMs)) this.#keep(count, nowMs);
    }
  }

  /** Under which fingerprints others most likely wrote what they counted for the leading items of a call. */
  likelyFingerprints({ chain, root, turns }: InputParts): string[] {
    const ends = new Set([1, ...turns.slice(-TURNS_KEPT)]);
    for (let end = Math.max(1, chain.length - LAST_ENDS); end < chain.length; end++) ends.add(end);
    return [root, ...[...ends].flatMap((end) => chain[end] ?? [])];
  }

  /** Returns whether it is new, or lower than what was known. */
  #keep(count: InputCount, nowMs: number): boolean {
    const { model, elements, given, tokens, untilMs } = count;
    const key = keyOfCount(count);
    const known = this.#anchors.get(key)?.settings ?? [];
    const same = known.find((setting) => setting.elements === elements && setting.given === given);
    if (same !== undefined && same.tokens <= tokens && nowMs < same.untilMs) return false;
    const others = known.filter((setting) => setting !== same).slice(0, SETTINGS_MAX - 1);
    this.#anchors.set(key, { model, settings: [{ elements, given, tokens, untilMs }, ...others] });
    return true;
  }

  /** Whether a bill of the model was above its bound within the hour: counts say nothing of it. */
  isBroken(model: string, nowMs: number): boolean {
    return nowMs < (this.#broken.get(model) ?? 0);
  }

  /** A bill was above its bound: the model's name stands for another tokeniser, or its upstream hides what it reads. */
  broke(model: string, nowMs: number): void {
    for (const [name, untilMs] of this.#broken) if (untilMs <= nowMs) this.#broken.delete(name);
    this.#broken.set(model, nowMs + BROKEN_MS);
    for (const [key, anchor] of this.#anchors.entries())
      if (anchor.model === model) this.#anchors.delete(key);
  }

  #boundOf(
    { parts, images, reasoning, wanted, moreTokens }: Asked,
    keyOf: (fingerprint: string) => string,
    nowMs: number,
  ): number | null {
    const { chain, weights, root } = parts;
    const lacking = new Map<string, number>();
    let best = Number.POSITIVE_INFINITY;
    let left = LOOKED_AT_MAX;
    let rest = moreTokens + HIDDEN_TOKENS;
    let { remote } = images;
    for (let items = weights.length; items >= 0; items--) {
      if (left > 0 || items === 0) {
        const anchor = this.#anchors.get(keyOf(items === 0 ? root : (chain[items] ?? '')));
        if (anchor !== undefined) left--;
        for (const { elements, given, tokens, untilMs } of anchor?.settings ?? []) {
          if (untilMs <= nowMs) continue;
          const isCounted = given === 'all' || (given === 'turn' && wanted === 'current_turn');
          const leftOut = isCounted ? 0 : (reasoning.before[items] ?? 0);
          const more = lacking.get(elements) ?? lackingTokens(parts, elements);
          lacking.set(elements, more);
          best = Math.min(best, tokens + more + leftOut + remote + rest);
        }
      }
      const item = items - 1;
      rest += (weights[item] ?? 0) + (images.all.get(item) ?? 0) + (reasoning.from[item] ?? 0);
      remote -= images.remoteOf.get(item) ?? 0;
    }
    best = Math.min(best, countedWhole(parts, rest));
    return best === Number.POSITIVE_INFINITY ? null : best;
  }
}

function keyOfCount({
  teamId,
  model,
  fingerprint,
}: Pick<InputCount, 'teamId' | 'model' | 'fingerprint'>): string {
  return `${teamId}\0${model}\0${fingerprint}`;
}

/**
 * What an upstream writes into each prompt by itself: the model's own instructions, headings of tools and formats. It is part of
 * what was counted before, and of no count here.
 */
const UNSEEN_TOKENS = 192;

/** What the call costs by its own count. @param items what its items cost */
function countedWhole({ elementWeights, otherTokens }: InputParts, items: number): number {
  if (otherTokens === null) return Number.POSITIVE_INFINITY;
  return elementWeights.reduce((sum, tokens) => sum + tokens, items + otherTokens + UNSEEN_TOKENS);
}

/** What the elements of a call cost that an anchor did not count. One that stands twice was counted twice. */
function lackingTokens({ elements, elementWeights }: InputParts, counted: string): number {
  if (elements === counted) return 0;
  const times = new Map<string, number>();
  for (let at = 0; at < counted.length; at += FINGERPRINT_CHARACTERS) {
    const element = counted.slice(at, at + FINGERPRINT_CHARACTERS);
    times.set(element, (times.get(element) ?? 0) + 1);
  }
  let tokens = 0;
  for (let index = 0; index < elementWeights.length; index++) {
    const at = index * FINGERPRINT_CHARACTERS;
    const element = elements.slice(at, at + FINGERPRINT_CHARACTERS);
    const left = times.get(element) ?? 0;
    if (left > 0) times.set(element, left - 1);
    else tokens += elementWeights[index] ?? 0;
  }
  return tokens;
}

/** A call, as its bound is asked for. */
interface Asked {
  readonly parts: InputParts;
  readonly images: ImageTokens;
  readonly reasoning: ReasoningTokens;
  readonly wanted: ReasoningContext;
  readonly moreTokens: number;
}

/** Tokens of earlier reasoning; infinite where it is not known. */
interface ReasoningTokens {
  /** Of the first 0, 1, 2 … items, with all that stands around it. */
  readonly before: readonly number[];
  /** What each item adds to those that follow it. */
  readonly from: readonly number[];
}

const NO_REASONING: ReasoningTokens = { before: [], from: [] };

/** Only the sum of a response's reasoning was reported: it counts once for all its items, as often as the one that comes most often. */
function weighReasoning(sent: readonly SentReasoning[], weights: readonly number[]): ReasoningTokens {
  const from = addedBy(sent.toReversed(), weights.length);
  const added = addedBy(sent, weights.length);
  const before = [0];
  const items = new Set(sent.map(({ item }) => item));
  for (const [index, weight] of weights.entries()) {
    const own = items.has(index) ? weight + (added[index] ?? 0) : 0;
    before.push((before[index] ?? 0) + own);
  }
  return { before, from };
}

/** Returns what each item adds to those that came before it in this order. */
function addedBy(sent: readonly SentReasoning[], length: number): number[] {
  const added = new Array<number>(length).fill(0);
  const times = new Map<string, number>();
  const most = new Map<object, number>();
  for (const { item, name, response, tokens } of sent) {
    if (response === null || tokens === null) {
      added[item] = Number.POSITIVE_INFINITY;
      continue;
    }
    const time = (times.get(name) ?? 0) + 1;
    times.set(name, time);
    if (time <= (most.get(response) ?? 0)) continue;
    most.set(response, time);
    added[item] = tokens;
  }
  return added;
}

/** By item. What an address names may have grown since it was counted, so remote images are paid again. */
interface ImageTokens {
  readonly all: ReadonlyMap<number, number>;
  readonly remoteOf: ReadonlyMap<number, number>;
  remote: number;
}

const NO_IMAGES: ImageTokens = { all: new Map(), remoteOf: new Map(), remote: 0 };

/** Returns null where an image has no bound of its own. */
function tokensOfImages(
  { weights }: InputParts,
  beyond: BeyondText | null,
  rule: ImageRule | null,
): ImageTokens | null {
  const images: readonly (ImageInput & { item?: number })[] = beyond?.images ?? [];
  if (images.length === 0) return NO_IMAGES;
  if (rule === null) return null;
  const all = new Map<number, number>();
  const remoteOf = new Map<number, number>();
  let remote = 0;
  for (const image of images) {
    const tokens = imageTokens(rule, image);
    const { item } = image;
    if (tokens === null || item === undefined || item >= weights.length) return null;
    all.set(item, (all.get(item) ?? 0) + tokens);
    if (image.size !== null) continue;
    remoteOf.set(item, (remoteOf.get(item) ?? 0) + tokens);
    remote += tokens;
  }
  return { all, remoteOf, remote };
}
