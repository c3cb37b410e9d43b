/**
 * Meters a stream of server-sent events as it passes. Works on lines of bytes: a chunk without anything of interest
 * costs a few searches and is handed on as the same Buffer; only lines that may carry usage or an error are parsed.
 * What a name looks like inside a string does not matter: there its quotes are escaped, and what matches all the same
 * is parsed before it is believed.
 */
import type { MeteredResponse } from '../../domain/usage.ts';
import { isObject } from '../body.ts';
import type { UsagePlace } from '../operations/descriptor.ts';
import { meterObject } from '../response.ts';
import {
  blankLineEnd,
  cut,
  isNull,
  isTopLevelName,
  isWholePayload,
  lineEnd,
  lineStart,
  memberRange,
  parseLine,
  type Range,
  valueAt,
} from '../wire/sse.ts';

/** A line longer than this is not kept: the stream then passes on without being metered. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;

const LF = 0x0a;
const OPENING_BRACE = 0x7b;
const NONE = Buffer.alloc(0);

const DONE = Buffer.from('[DONE]');
const USAGE = Buffer.from('"usage"');
const ERROR = Buffer.from('"error"');
const NULL_BYTES = 4;
const TERMINAL_TYPES = ['response.completed', 'response.incomplete', 'response.failed'];
const TERMINALS = TERMINAL_TYPES.map((type) => Buffer.from(`"${type}"`));

export class StreamMeter {
  readonly #place: UsagePlace;
  readonly #stripUsage: boolean;
  /** Bytes of a line whose end has not come yet. */
  #carry: Buffer[] = [];
  #carryBytes = 0;
  #blind = false;
  #opened = false;
  /** The usage chunk was removed and its blank line is still to come. */
  #dropBlankLine = false;
  #metered: MeteredResponse = { usage: null, serviceTier: null, model: null };
  #completed = false;
  #sawError = false;

  /** `stripUsage`: usage was asked for by us and not by the client, who then sees none of it. */
  constructor(place: UsagePlace, options: { stripUsage: boolean }) {
    this.#place = place;
    this.#stripUsage = options.stripUsage && place.stream === 'chunk';
  }

  /** The stream ended as the API ends it: `[DONE]`, or the last event of a response. */
  get completed(): boolean {
    return this.#completed;
  }

  /** The stream carried an error event or a failed response. */
  get sawError(): boolean {
    return this.#sawError;
  }

  /** What the stream said so far; usage is null until its last chunk. */
  result(): MeteredResponse {
    return this.#metered;
  }

  /**
   * Takes the upstream's next bytes and returns those for the client: the same Buffer when nothing is removed. The start
   * of a line waits for its end: no client can use a part of it, and a stream that breaks off then ends between lines.
   */
  push(chunk: Buffer): Buffer {
    if (this.#blind) return chunk;
    const linesEnd = chunk.lastIndexOf(LF) + 1;
    if (linesEnd === chunk.length && this.#carryBytes === 0) return this.#meterLines(chunk);
    if (linesEnd === 0) return this.#keep(chunk);

    const lines = chunk.subarray(0, linesEnd);
    const passed = this.#meterLines(this.#carryBytes === 0 ? lines : this.#takeCarry(lines));
    const kept = this.#keep(chunk.subarray(linesEnd));
    return kept.length === 0 ? passed : Buffer.concat([passed, kept]);
  }

  /** To be called once after the last chunk of a stream that ended well: meters and returns its unfinished line. */
  end(): Buffer {
    return this.#carryBytes === 0 ? NONE : this.#meterLines(this.#takeCarry(NONE));
  }

  /** Keeps the start of a line; returns the bytes that may pass now: none, until it is too long for a line. */
  #keep(bytes: Buffer): Buffer {
    if (bytes.length > 0) this.#carry.push(bytes);
    this.#carryBytes += bytes.length;
    if (this.#carryBytes <= MAX_LINE_BYTES) return NONE;
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
    if (this.#place.stream === 'terminal_event') {
      this.#meterResponseEvents(lines);
      return lines;
    }
    if (!this.#opened) this.#open(lines);
    for (let at = lines.indexOf(DONE); at !== -1; at = lines.indexOf(DONE, at + DONE.length)) {
      if (isWholePayload(lines, at, at + DONE.length)) this.#completed = true;
    }
    this.#meterErrors(lines);
    return this.#meterChunks(lines);
  }

  /** Model and tier stand in every chunk: those of the first are known even if the stream is cut. */
  #open(lines: Buffer): void {
    const at = lines.indexOf(OPENING_BRACE);
    const chunk = at === -1 ? null : parseLine(lines, at);
    if (chunk === null) return;
    this.#opened = true;
    const { model, serviceTier } = meterObject(this.#place.members, chunk);
    this.#metered = { usage: null, serviceTier, model };
  }

  #meterErrors(lines: Buffer): void {
    for (let at = lines.indexOf(ERROR); at !== -1; at = lines.indexOf(ERROR, at + ERROR.length)) {
      if (isNull(lines, valueAt(lines, at + ERROR.length))) continue;
      const event = parseLine(lines, at);
      if (event !== null && (event.type === 'error' || isObject(event.error))) this.#sawError = true;
    }
  }

  #meterResponseEvents(lines: Buffer): void {
    this.#meterErrors(lines);
    for (const terminal of TERMINALS) {
      for (let at = lines.indexOf(terminal); at !== -1; at = lines.indexOf(terminal, at + terminal.length)) {
        const event = parseLine(lines, at);
        if (event === null || !isObject(event.response) || !TERMINAL_TYPES.includes(String(event.type)))
          continue;
        this.#completed = true;
        this.#sawError ||= event.type === 'response.failed';
        this.#metered = meterObject(this.#place.members, event.response);
      }
    }
  }

  #meterChunks(lines: Buffer): Buffer {
    const cuts: Range[] = [];
    if (this.#dropBlankLine) {
      const end = blankLineEnd(lines, 0);
      if (end > 0) cuts.push({ start: 0, end });
      this.#dropBlankLine = false;
    }
    for (let at = lines.indexOf(USAGE); at !== -1; ) {
      let next = at + USAGE.length;
      const value = valueAt(lines, next);
      if (lines[value] === OPENING_BRACE) {
        const start = lineStart(lines, at);
        next = lineEnd(lines, at);
        if (this.#meterUsage(lines, at) && this.#stripUsage) {
          cuts.push({ start, end: blankLineEnd(lines, next) });
          this.#dropBlankLine = next === lines.length;
        }
      } else if (this.#stripUsage && isNull(lines, value) && isTopLevelName(lines, at)) {
        cuts.push(memberRange(lines, at, value + NULL_BYTES));
      }
      at = lines.indexOf(USAGE, next);
    }
    return cut(lines, cuts);
  }

  /** Reads the usage of a chunk; true if that is all the chunk is for. */
  #meterUsage(lines: Buffer, at: number): boolean {
    const chunk = parseLine(lines, at);
    if (chunk === null || !isObject(chunk.usage)) return false;
    const { usage, serviceTier, model } = meterObject(this.#place.members, chunk);
    this.#metered = {
      usage,
      serviceTier: serviceTier ?? this.#metered.serviceTier,
      model: model ?? this.#metered.model,
    };
    return Array.isArray(chunk.choices) && chunk.choices.length === 0 && !isObject(chunk.moderation);
  }
}
