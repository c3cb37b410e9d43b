/**
 * Counts the output of a response while it is written: what an upstream that ignores its limit has written at least, by
 * what it sends. Never more than an obedient one has: a delta with content is one token or more, a count that the
 * upstream reports is its own, and a text is counted whole, as its tokeniser does. Knows no limit.
 */
import { isObject, type Json, type JsonObject, parseJson } from '../body.ts';
import type { UsageMembers, UsagePlace } from '../operations/descriptor.ts';
import { NamePlaces } from '../wire/names.ts';
import { dataLines, eventEnd, lineEnd, parseLine } from '../wire/sse.ts';
import { deltasIn } from './deltas.ts';

/** Returns the tokens of a text. */
export type CountTokens = (text: string) => number;

/** How the text of an upstream's output is counted; a null tokeniser: by its bytes, a net so coarse that no text is cut for it. */
export interface TextRule {
  readonly countTokens: CountTokens | null;
}

/** Tokens of real vocabularies have four bytes in the mean, and no text has sixteen in each; a single one may have a hundred. */
const BYTES_PER_TOKEN_MOST = 16;
const BYTES_OF_FIRST_TOKENS = 256;

const LF = 0x0a;
/** Those that are text for the user. */
const SPOKEN = ['content', 'refusal'] as const;

export class OutputCounter {
  readonly #place: UsagePlace;
  readonly #rule: TextRule | null;
  #deltas = 0;
  #textBytes = 0;
  readonly #reported = new ReportedOutput();
  readonly #texts = new Map<number, TextCount>();
  /** Those that had text, where events are read. */
  readonly #choices = new Set<number>();

  /** @param rule null: only deltas are counted, by their bytes, which costs a chunk no more than a search or two */
  constructor(place: UsagePlace, rule: TextRule | null) {
    this.#place = place;
    this.#rule = rule;
  }

  /**
   * Takes whole lines of the stream. Returns where the event ends with which more than `most` output tokens were written;
   * -1: they were not.
   * @param found the names in these lines
   */
  add(lines: Buffer, most = Number.POSITIVE_INFINITY, found = new NamePlaces().find(lines)): number {
    if (this.#rule !== null) return this.#addEvents(lines, most);
    const before = this.#deltas;
    this.#deltas += deltasIn(this.#place, lines, found);
    return this.#deltas > most ? this.#placeOf(lines, most - before) : -1;
  }

  /** Whether more than this many output tokens were written. */
  isOver(limit: number): boolean {
    if (this.#deltas > limit || this.#reported.tokens > limit) return true;
    if (this.#rule === null) return false;
    if (this.#rule.countTokens === null) return tokensOfBytes(this.#textBytes) > limit;
    let most = 0;
    for (const text of this.#texts.values()) most += text.tokensAtMost;
    if (most <= limit) return false;
    for (const text of this.#texts.values()) text.settle();
    most = 0;
    for (const text of this.#texts.values()) most += text.tokensAtMost;
    return most > limit && this.#textTokens > limit;
  }

  /** Deltas that had something written in them. */
  get deltas(): number {
    return this.#deltas;
  }

  /** How many choices had text. */
  get choices(): number {
    return this.#choices.size;
  }

  /** The output tokens that were written at least. */
  get tokens(): number {
    return Math.max(this.#deltas, this.#reported.tokens, this.#textTokens);
  }

  get #textTokens(): number {
    if (this.#rule === null) return 0;
    if (this.#rule.countTokens === null) return tokensOfBytes(this.#textBytes);
    let tokens = 0;
    for (const text of this.#texts.values()) tokens += text.tokens;
    return tokens;
  }

  /** Where the event ends with which there are more deltas than `most`. */
  #placeOf(lines: Buffer, most: number): number {
    const found = new NamePlaces();
    let deltas = 0;
    for (let at = 0; at < lines.length; ) {
      const end = eventEnd(lines, at);
      const event = lines.subarray(at, end);
      deltas += deltasIn(this.#place, event, found.find(event));
      if (deltas > most) return end;
      at = end;
    }
    return lines.length;
  }

  #addEvents(lines: Buffer, most: number): number {
    let over = -1;
    for (let at = 0; at < lines.length; at = lineEnd(lines, at)) {
      const event = lines[at] === LF ? null : parseLine(lines, at);
      if (event === null) continue;
      this.#addEvent(event);
      if (over === -1 && this.isOver(most)) over = eventEnd(lines, at);
    }
    return over;
  }

  #addEvent(event: JsonObject): void {
    const { choices, type, delta } = event;
    if (Array.isArray(choices)) {
      let wrote = false;
      for (const choice of choices) {
        if (isObject(choice) && this.#addText(indexOf(choice), textOfChoice(choice))) wrote = true;
      }
      const only = choices.length === 1 && isObject(choices[0]) ? indexOf(choices[0]) : null;
      this.#report(event.usage, only, wrote);
    } else {
      if (typeof delta === 'string' && !String(type).includes('reasoning_summary')) this.#addText(0, delta);
      this.#report(isObject(event.response) ? event.response.usage : event.usage, null, false);
    }
  }

  /** Returns whether there was any text. */
  #addText(index: number, text: string): boolean {
    if (text === '') return false;
    this.#deltas++;
    this.#choices.add(index);
    const countTokens = this.#rule?.countTokens ?? null;
    if (countTokens === null) this.#textBytes += Buffer.byteLength(text);
    else {
      const known = this.#texts.get(index);
      if (known) known.add(text);
      else this.#texts.set(index, new TextCount(countTokens, text));
    }
    return true;
  }

  #report(usage: Json | undefined, choice: number | null, wrote: boolean): void {
    const output = reportedOutput(this.#place.members, usage);
    if (output !== null) this.#reported.add(output, choice, wrote);
  }
}

/** A longer prompt is not counted: no call may hold up the others for as long as that takes. */
const PROMPT_BYTES_MOST = 32 * 1024;
/** What frames a message, a tool or a prompt, at most. */
const FRAME_TOKENS = 8;
/** Fields of a request that the model reads. */
const READ_FIELDS = ['messages', 'prompt', 'input', 'instructions', 'tools', 'functions', 'response_format'];

/** Returns the input tokens of a request's body by its texts; null: it is too long to be counted here. */
export function countPrompt(body: Buffer, countTokens: CountTokens): number | null {
  const json = body.length > PROMPT_BYTES_MOST ? undefined : parseJson(body.toString());
  if (!isObject(json)) return null;
  let tokens = FRAME_TOKENS;
  const add = (value: Json | undefined): void => {
    if (typeof value === 'string') tokens += new TextCount(countTokens, value).tokens;
    else if (typeof value === 'number') tokens++;
    else if (Array.isArray(value)) value.forEach(add);
    else if (isObject(value)) {
      tokens += FRAME_TOKENS;
      Object.values(value).forEach(add);
    }
  };
  for (const name of READ_FIELDS) add(json[name]);
  return tokens;
}

/** Returns the output of a whole JSON answer, counted by its text; 0 choices where there is none. */
export function countJson(body: Buffer, { countTokens }: TextRule): { choices: number; tokens: number } {
  const answer = parseJson(body.toString());
  const texts = isObject(answer) ? textsOfAnswer(answer) : [];
  const choices = texts.length;
  if (countTokens === null) return { choices, tokens: tokensOfBytes(Buffer.byteLength(texts.join(''))) };
  let tokens = 0;
  for (const text of texts) tokens += new TextCount(countTokens, text).tokens;
  return { choices, tokens };
}

/** Whether a chunk from `from` on carries a part of an answer, of whatever kind. */
export function hasOutputIn(lines: Buffer, from: number): boolean {
  for (const at of dataLines(lines, from)) {
    const choices = parseLine(lines, at)?.choices;
    if (Array.isArray(choices) && choices.some(hasOutput)) return true;
  }
  return false;
}

/** Whether a choice of a chunk carries a part of its answer: text, a refusal, a tool call, reasoning, audio. */
function hasOutput(choice: Json): boolean {
  if (!isObject(choice)) return false;
  const { text, delta } = choice;
  if (typeof text === 'string' && text !== '') return true;
  if (!isObject(delta)) return false;
  for (const name in delta) {
    const part = delta[name];
    if (name === 'role' || part === null || part === undefined || part === '') continue;
    if (!Array.isArray(part) || part.length > 0) return true;
  }
  return false;
}

function tokensOfBytes(bytes: number): number {
  return Math.floor(Math.max(0, bytes - BYTES_OF_FIRST_TOKENS) / BYTES_PER_TOKEN_MOST);
}

function textsOfAnswer({ choices, output }: JsonObject): string[] {
  if (Array.isArray(choices)) return choices.map((choice) => (isObject(choice) ? textOfChoice(choice) : ''));
  return Array.isArray(output) ? [output.map(textOfItem).join('')] : [];
}

/** An item of a response: a message, a call of a tool, or reasoning, whose summary is not the model's own output. */
function textOfItem(item: Json): string {
  if (!isObject(item)) return '';
  const parts = Array.isArray(item.content) ? item.content : [];
  let text = '';
  for (const part of parts) {
    if (isObject(part)) text += textOr(part.text) + textOr(part[SPOKEN[1]]);
  }
  return text + textOr(item.name) + textOr(item.arguments) + textOr(item.input);
}

/** All that the model wrote of a choice, whole or in a delta. */
function textOfChoice(choice: JsonObject): string {
  const { delta = choice.message, text } = choice;
  if (!isObject(delta)) return textOr(text);
  const { reasoning, reasoning_content: reasoningContent = reasoning } = delta;
  let written = textOr(reasoningContent) + textOfCall(delta.function_call);
  for (const name of SPOKEN) written += textOr(delta[name]);
  const calls = Array.isArray(delta.tool_calls) ? delta.tool_calls : [];
  for (const call of calls) {
    if (isObject(call)) written += textOfCall(call.function) + textOfCall(call.custom);
  }
  return written;
}

function textOfCall(call: Json | undefined): string {
  return isObject(call) ? textOr(call.name) + textOr(call.arguments) + textOr(call.input) : '';
}

function textOr(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function indexOf({ index }: JsonObject): number {
  return typeof index === 'number' ? index : 0;
}

function reportedOutput(members: UsageMembers, usage: Json | undefined): number | null {
  const output = isObject(usage) && members.output !== null ? usage[members.output] : null;
  return typeof output === 'number' && Number.isSafeInteger(output) && output >= 0 ? output : null;
}

/**
 * The output that usage in the middle of a stream reports. Some servers count all choices, others the one that a chunk
 * belongs to. A count of all grows with each chunk that has text: where it does not from one choice's chunk to the
 * next one's, each choice has its own.
 */
class ReportedOutput {
  #largest = 0;
  readonly #ofChoice = new Map<number, number>();
  #last: { choice: number; output: number } | null = null;
  #isOfChoices = false;

  get tokens(): number {
    if (!this.#isOfChoices) return this.#largest;
    let sum = 0;
    for (const output of this.#ofChoice.values()) sum += output;
    return Math.max(sum, this.#largest);
  }

  /** @param choice the only one in the chunk; null: none or several */
  add(output: number, choice: number | null, wrote: boolean): void {
    this.#largest = Math.max(this.#largest, output);
    if (choice === null) return;
    const last = this.#last;
    if (wrote && last !== null && last.choice !== choice && output <= last.output) this.#isOfChoices = true;
    this.#last = { choice, output };
    this.#ofChoice.set(choice, Math.max(output, this.#ofChoice.get(choice) ?? 0));
  }
}

/** Where a tokeniser begins a new word, whatever stood before. */
const WORD = /\S(?= \p{L})/gu;
/** A text without such a place is counted in pieces of this size: tokenisers are quadratic in the length of a word. */
const PIECE_CHARACTERS = 256;

/** The tokens of a text that grows: what stands before its last word is counted once. */
class TextCount {
  readonly #countTokens: CountTokens;
  #settled = 0;
  #open: string;

  constructor(countTokens: CountTokens, text: string) {
    this.#countTokens = countTokens;
    this.#open = text;
  }

  add(text: string): void {
    this.#open += text;
  }

  get tokens(): number {
    this.settle();
    return this.#settled + this.#countTokens(this.#open);
  }

  /** No token has less than a byte. */
  get tokensAtMost(): number {
    return this.#settled + Buffer.byteLength(this.#open);
  }

  /** Counts all but the last word. */
  settle(): void {
    while (this.#open.length > PIECE_CHARACTERS)
      this.#settlePiece(this.#open.slice(0, PIECE_CHARACTERS), true);
    this.#settlePiece(this.#open, false);
  }

  #settlePiece(piece: string, isForced: boolean): void {
    let end = 0;
    for (const match of piece.matchAll(WORD)) end = match.index + match[0].length;
    if (end > 0) {
      this.#settled += this.#countTokens(piece.slice(0, end));
      this.#open = this.#open.slice(end);
    } else if (isForced) {
      // Cut inside of a word, the two parts may have a token more than the whole.
      this.#settled += Math.max(0, this.#countTokens(piece) - 1);
      this.#open = this.#open.slice(piece.length);
    }
  }
}
