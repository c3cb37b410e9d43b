/**
 * Meters a stream of server-sent events as it passes. Works on lines of bytes: a chunk without anything of interest costs a few
 * searches and is handed on as the same Buffer; only lines that may carry usage or an error are parsed. What a name looks like
 * inside a string does not matter: its quotes are escaped there, and what matches all the same is parsed before it is believed.
 */
import type { KeptAnswer } from '../../domain/kept.ts';
import type { AnswerState, HostedUse, MeteredResponse, Usage } from '../../domain/usage.ts';
import { isObject, type Json, type JsonObject } from '../body.ts';
import { readAnswer } from '../kept.ts';
import type { UsagePlace } from '../operations/descriptor.ts';
import { meterObject, readUsage, stateOf } from '../response.ts';
import { isDeclined } from '../wire/errors.ts';
import { bytesOf, DONE, ERROR, FINISH, NamePlaces, RESPONSE, USAGE } from '../wire/names.ts';
import {
  blankLineEnd,
  cut,
  dataLines,
  EMPTY_TYPES,
  eventEnd,
  eventType,
  hasPayload,
  isNull,
  isTopLevelName,
  lineEnd,
  lineStart,
  memberRange,
  nextSequenceNumber,
  parseLine,
  type Range,
  separatorAfter,
  TERMINAL_TYPES,
  valueAt,
} from '../wire/sse.ts';
import { hasOutputIn, type OutputCounter } from './count.ts';
import { readMediaUsage, sumOf } from './media.ts';

/** A longer line is not kept: the stream then passes on without being metered. The largest image has 8 million pixels. */
const MAX_LINE_BYTES = { text: 8 * 1024 * 1024, images: 48 * 1024 * 1024 };

const LF = 0x0a;
const OPENING_BRACE = 0x7b;
const DATA_BYTES = 'data: '.length;
const NONE = Buffer.alloc(0);

/** What metering looks for in the lines in hand. */
const found = new NamePlaces();
const NULL_BYTES = 4;
const TERMINALS = TERMINAL_TYPES.map((type) => Buffer.from(`"${type}"`));

export interface StreamMeterOptions {
  /** Usage was asked for by us and not by the client, who then sees none of it. */
  stripUsage: boolean;
  /** How many choices the stream carries side by side. */
  choices: number;
  /** Counts the output meanwhile; missing or null: nothing does. */
  counter?: OutputCounter | null;
  /** Output tokens that may be written; what comes behind the event that goes beyond does not pass. Missing: any number. */
  outputTokensMost?: number;
}

export class StreamMeter {
  readonly #place: UsagePlace;
  readonly #stripUsage: boolean;
  readonly #choices: number;
  readonly counter: OutputCounter | null;
  #outputTokensMost: number;
  /** More was written than may be. */
  #isOver = false;
  /** Bytes of a line whose end has not come yet. */
  #carry: Buffer[] = [];
  #carryBytes = 0;
  #blind = false;
  #opened = false;
  /** The usage chunk was removed and its blank line is still to come. */
  #dropBlankLine = false;
  #model: string | null = null;
  #id: string | undefined;
  /** The lines of a stream of a response that name it first. */
  #first: Buffer = NONE;
  #kept: KeptAnswer | null = null;
  #serviceTier: string | null = null;
  #usage: Usage | null = null;
  #hosted: HostedUse | undefined;
  /** Events that ended an answer. */
  #answers = 0;
  /** Chunks that were for usage alone. */
  #usageChunks = 0;
  /** Every choice had ended when the usage came, and nothing was written since. */
  #usageIsAll = false;
  /** Something was written after the usage. */
  #usageIsOld = false;
  #finished: Set<Json | undefined> | null = null;
  #hasOutput = false;
  #completed = false;
  #failure: 'declined' | 'failed' | null = null;
  /** The whole lines that came last: what follows must fit behind them; and those before them that had data. */
  #last: Buffer = NONE;
  #numbered: Buffer = NONE;

  constructor(place: UsagePlace, options: StreamMeterOptions) {
    this.#place = place;
    this.#stripUsage = options.stripUsage && place.stream === 'chunk';
    this.#choices = options.choices;
    this.counter = options.counter ?? null;
    this.#outputTokensMost = options.outputTokensMost ?? Number.POSITIVE_INFINITY;
  }

  /** It ended by `[DONE]`, by a response's last event, by an error, or (transformers) with its connection after all usage. */
  get isWhole(): boolean {
    return this.#completed || this.#failure !== null || this.#blind;
  }

  /** It has said the id of what it makes. */
  get isNamed(): boolean {
    return this.#first.length > 0 || this.#id !== undefined || this.#completed;
  }

  /** The response as its first event shows it: one that breaks off may be kept all the same. Null: that has not come. */
  get begun(): JsonObject | null {
    const event =
      this.#first.length === 0 ? null : parseLine(this.#first, this.#first.indexOf(bytesOf(RESPONSE)));
    return event !== null && isObject(event.response) ? event.response : null;
  }

  /** It may write any number of tokens from now on. */
  unlimited(): void {
    this.#outputTokensMost = Number.POSITIVE_INFINITY;
    this.#isOver = false;
  }

  /**
   * What must stand before an event of ours: a blank line, if the last event lacks it. Of an event that has only its name
   * so far, ours replaces the name.
   */
  get separator(): '' | '\n' {
    return separatorAfter(this.#last);
  }

  /** Returns the `sequence_number` of the next event; null: the stream does not count its events. */
  get nextSequenceNumber(): number | null {
    if (this.#place.stream !== 'terminal_event') return null;
    return nextSequenceNumber(this.#last) ?? nextSequenceNumber(this.#numbered) ?? 0;
  }

  /** More output was written than may be, by what is counted or by what the stream says itself, and it goes on. */
  get isOver(): boolean {
    return this.#isOver && !this.isWhole;
  }

  /** What the stream said so far. */
  result(): MeteredResponse {
    const { usage, isAll } = this.#usageSoFar();
    const begun = this.#kept === null ? this.begun : null;
    return {
      usage: isAll ? usage : null,
      usageAtLeast: isAll ? null : usage,
      state: this.#state(),
      ...(this.#hosted === undefined ? null : { hosted: this.#hosted }),
      serviceTier: this.#serviceTier,
      model: this.#model,
      id: this.#id,
      kept: begun === null ? this.#kept : readAnswer(begun),
    };
  }

  #state(): AnswerState {
    if (this.#failure !== null) return this.#hasOutput ? 'failed' : this.#failure;
    return this.#completed || this.#blind ? 'complete' : 'broken';
  }

  /**
   * Running usage is not the bill: it is, once the stream ended well, or every choice had. Several usage chunks for several
   * choices may be a part of the bill each: then none of them is.
   */
  #usageSoFar(): { usage: Usage | null; isAll: boolean } {
    const isParts = this.#usageChunks > 1 && this.#choices > 1;
    const isEnd = this.#usageIsAll || (this.#completed && this.#failure === null);
    return { usage: this.#usage, isAll: isEnd && !this.#usageIsOld && !isParts };
  }

  /**
   * Takes the upstream's next bytes and returns those for the client: the same Buffer when nothing is removed. The start of a
   * line waits for its end: no client can use a part of it, and a stream that breaks off then ends between lines.
   */
  push(chunk: Buffer): Buffer {
    if (this.#blind) return chunk;
    if (chunk[chunk.length - 1] === LF && this.#carryBytes === 0) return this.#meterLines(chunk);
    const linesEnd = chunk.lastIndexOf(LF) + 1;
    if (linesEnd === 0) return this.#keep(chunk);
    const lines = chunk.subarray(0, linesEnd);
    const passed = this.#meterLines(this.#carryBytes === 0 ? lines : this.#takeCarry(lines));
    const kept = this.#keep(chunk.subarray(linesEnd));
    return kept.length === 0 ? passed : Buffer.concat([passed, kept]);
  }

  /** To be called after the last chunk of a connection that ended in order: returns its unfinished line if that ends the stream. */
  end(): Buffer {
    if (this.#carryBytes === 0) this.#completed ||= this.#usageIsAll && !this.#usageIsOld;
    if (this.#carryBytes === 0) return NONE;
    const before = this.#last;
    const passed = this.#meterLines(this.#takeCarry(NONE));
    if (this.isWhole) return passed;
    this.#last = before;
    return NONE;
  }

  /** Keeps the start of a line; returns the bytes that may pass now: none, until it is too long for a line. */
  #keep(bytes: Buffer): Buffer {
    if (bytes.length > 0) this.#carry.push(bytes);
    this.#carryBytes += bytes.length;
    const most = this.#place.stream === 'chunk' ? MAX_LINE_BYTES.text : MAX_LINE_BYTES.images;
    if (this.#carryBytes <= most) return NONE;
    this.#blind = true;
    return this.#takeCarry(NONE);
  }

  #takeCarry(rest: Buffer): Buffer {
    const taken = Buffer.concat([...this.#carry, rest]);
    this.#carry = [];
    this.#carryBytes = 0;
    return taken;
  }

  /** Meters whole lines and returns what the client gets of them. */
  #meterLines(lines: Buffer): Buffer {
    const last = this.#last;
    if (last[DATA_BYTES] === OPENING_BRACE || last.includes(OPENING_BRACE)) this.#numbered = last;
    this.#last = lines;
    found.find(lines);
    const over = this.counter?.add(lines, this.#outputTokensMost, found) ?? -1;
    if (over !== -1) this.#isOver = true;
    if (this.#place.stream === 'done_event') {
      this.#meterErrors(lines);
      this.#meterAnswers(lines);
      return lines;
    }
    if (this.#place.stream === 'terminal_event') {
      if (this.#first.length === 0 && !this.#completed && found.has(RESPONSE)) this.#first = lines;
      this.#meterResponseEvents(lines);
      return this.#within(lines, over, []);
    }
    if (!this.#opened) this.#open(lines);
    if (!this.#hasOutput) this.#hasOutput = hasOutputIn(lines, 0);
    this.#meterFinishes(lines);
    if (found.has(DONE) && hasPayload(lines, bytesOf(DONE))) this.#completed = true;
    this.#meterErrors(lines);
    return this.#meterChunks(lines, over);
  }

  /** What passes of lines: without `cuts`, and while the stream goes on beyond what may be written, nothing behind `over`. */
  #within(lines: Buffer, over: number, cuts: Range[]): Buffer {
    if (over === -1 || !this.isOver) return cut(lines, cuts);
    this.#last = lines.subarray(0, over);
    return cut(
      this.#last,
      cuts.filter(({ start }) => start < over),
    );
  }

  /** Id, model and tier stand in every chunk: those of the first are known even if the stream is cut. */
  #open(lines: Buffer): void {
    const at = lines.indexOf(OPENING_BRACE);
    const chunk = at === -1 ? null : parseLine(lines, at);
    if (chunk === null) return;
    this.#opened = true;
    this.#named(chunk);
  }

  #named({ id, model, service_tier }: JsonObject): void {
    if (typeof id === 'string' && this.#place.answer === 'choices') this.#id = id;
    if (typeof model === 'string') this.#model = model;
    if (typeof service_tier === 'string') this.#serviceTier = service_tier;
  }

  #meterErrors(lines: Buffer): void {
    for (let index = found.next(ERROR, 0); index !== -1; index = found.next(ERROR, index + 1)) {
      const at = found.at(index);
      if (isNull(lines, valueAt(lines, at + bytesOf(ERROR).length))) continue;
      const event = parseLine(lines, at);
      if (event === null) continue;
      const { type, object, error } = event;
      if (isObject(error)) this.#failed(error);
      else if (type === 'error' || object === 'error' || typeof error === 'string') this.#failed(event);
    }
  }

  #failed(error: Json | undefined): void {
    if (this.#failure === 'failed') return;
    this.#failure = isDeclined(error) ? 'declined' : 'failed';
  }

  #meterResponseEvents(lines: Buffer): void {
    if (!this.#hasOutput) {
      for (const at of dataLines(lines, 0)) {
        const type = eventType(lines, at);
        if (type.startsWith('response.') && !EMPTY_TYPES.has(type)) this.#hasOutput = true;
      }
    }
    this.#meterErrors(lines);
    for (const terminal of found.has(RESPONSE) ? TERMINALS : []) {
      for (let at = lines.indexOf(terminal); at !== -1; at = lines.indexOf(terminal, at + terminal.length)) {
        const event = parseLine(lines, at);
        if (event === null || !isObject(event.response) || !TERMINAL_TYPES.includes(String(event.type)))
          continue;
        this.#meterTerminal(event.type === 'response.failed', event.response);
      }
    }
  }

  /** Each answer ends with an event of its own, which has its usage; what is billed is their sum. */
  #meterAnswers(lines: Buffer): void {
    for (const at of dataLines(lines, 0)) {
      const type = eventType(lines, at);
      if (type !== '' && type !== 'error') this.#hasOutput = true;
      const event = type === this.#place.doneEvent ? parseLine(lines, at) : null;
      if (event === null) continue;
      const usage = readMediaUsage(this.#place, event);
      const before = this.#answers++ === 0 ? {} : this.#usage;
      this.#usage = usage === null || before === null ? null : sumOf(before, usage);
      this.#completed = this.#answers >= this.#choices;
      this.#usageIsAll = this.#completed && this.#usage !== null;
    }
  }

  #meterTerminal(isFailure: boolean, response: JsonObject): void {
    const metered = meterObject(this.#place, response, stateOf(this.#place, response));
    const { usage, state, hosted, kept } = metered;
    this.#hosted = hosted;
    this.#named(response);
    this.#completed = true;
    this.#kept = kept;
    this.#first = NONE;
    this.#usage = usage;
    this.#usageIsAll = usage !== null;
    if (isFailure || state === 'failed' || state === 'declined')
      this.#failure = state === 'declined' ? state : 'failed';
  }

  /** Which choices have ended. Nearly every chunk says that its own has not. */
  #meterFinishes(lines: Buffer): void {
    for (let index = found.next(FINISH, 0); index !== -1; index = found.next(FINISH, index + 1)) {
      const at = found.at(index);
      if (isNull(lines, valueAt(lines, at + bytesOf(FINISH).length))) continue;
      const choices = parseLine(lines, at)?.choices;
      if (!Array.isArray(choices)) continue;
      this.#finished ??= new Set();
      for (const choice of choices) {
        if (isObject(choice) && typeof choice.finish_reason === 'string') this.#finished.add(choice.index);
      }
    }
  }

  #meterChunks(lines: Buffer, counted: number): Buffer {
    let over = counted;
    const cuts: Range[] = [];
    if (this.#dropBlankLine) {
      const end = blankLineEnd(lines, 0);
      if (end > 0) cuts.push({ start: 0, end });
      this.#dropBlankLine = false;
    }
    let metered = 0;
    let next = 0;
    for (let index = found.next(USAGE, 0); index !== -1; index = found.next(USAGE, index + 1)) {
      const at = found.at(index);
      if (at < next) continue;
      next = at + bytesOf(USAGE).length;
      const value = valueAt(lines, next);
      if (lines[value] === OPENING_BRACE) {
        const start = lineStart(lines, at);
        next = lineEnd(lines, at);
        metered = next;
        if (this.#meterUsage(lines, at) && this.#stripUsage) {
          cuts.push({ start, end: blankLineEnd(lines, next) });
          this.#dropBlankLine = next === lines.length;
        }
        if (over === -1 && (this.#usage?.output_tokens ?? 0) > this.#outputTokensMost) {
          over = eventEnd(lines, at);
          this.#isOver = true;
        }
      } else if (this.#stripUsage && isNull(lines, value) && isTopLevelName(lines, at)) {
        cuts.push(memberRange(lines, at, value + NULL_BYTES));
      }
    }
    if (this.#usage !== null && hasOutputIn(lines, metered)) this.#usageIsOld = true;
    return this.#within(lines, over, cuts);
  }

  /** Reads the usage of a chunk; true if that is all the chunk is for. */
  #meterUsage(lines: Buffer, at: number): boolean {
    const chunk = parseLine(lines, at);
    if (chunk === null || !isObject(chunk.usage)) return false;
    const isAlone = Array.isArray(chunk.choices) && chunk.choices.length === 0;
    this.#named(chunk);
    this.#usage = readUsage(this.#place.members, chunk.usage);
    this.#usageIsOld = false;
    this.#usageIsAll = (this.#finished?.size ?? 0) >= this.#choices;
    if (isAlone) this.#usageChunks++;
    return isAlone && !isObject(chunk.moderation);
  }
}
