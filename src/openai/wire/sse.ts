/**
 * Bytes of server-sent events, one `data:` line per event, as the API writes them. Lines end with LF or CRLF. All
 * positions are indexes into a Buffer of whole lines (the last may lack its end).
 */
import { isObject, type JsonObject, parseJson } from '../body.ts';

/** Bytes from `start` up to, not including, `end`. */
export interface Range {
  start: number;
  end: number;
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const DATA = Buffer.from('data:');

/** Events that end a Responses stream. */
export const TERMINAL_TYPES = ['response.completed', 'response.incomplete', 'response.failed'];
/** Events of a Responses stream that say nothing yet. */
export const EMPTY_TYPES = new Set([
  'response.created',
  'response.queued',
  'response.in_progress',
  ...TERMINAL_TYPES,
]);

export function lineStart(lines: Buffer, at: number): number {
  return lines.lastIndexOf(LF, at) + 1;
}

/** The index after the line's end. */
export function lineEnd(lines: Buffer, at: number): number {
  return lines.indexOf(LF, at) + 1 || lines.length;
}

/** The index after a blank line that starts at `at`; `at` itself when the line is not blank. */
export function blankLineEnd(lines: Buffer, at: number): number {
  if (lines[at] === LF) return at + 1;
  return lines[at] === CR && lines[at + 1] === LF ? at + 2 : at;
}

/** The index after the event that has the line around `at`, its blank line included. */
export function eventEnd(lines: Buffer, at: number): number {
  let end = lineEnd(lines, at);
  while (end < lines.length) {
    const next = blankLineEnd(lines, end);
    if (next > end) return next;
    end = lineEnd(lines, end);
  }
  return end;
}

/** Where the payload of the `data:` line around `at` starts; -1 if it is another line. */
function payloadStart(lines: Buffer, at: number): number {
  const start = lineStart(lines, at);
  for (let index = 0; index < DATA.length; index++) if (lines[start + index] !== DATA[index]) return -1;
  return skipBlanks(lines, start + DATA.length);
}

/** Where the `data:` lines start that begin at `from` or after it. */
export function* dataLines(lines: Buffer, from: number): Generator<number> {
  for (let at = from; at < lines.length; at = lineEnd(lines, at)) {
    if (payloadStart(lines, at) !== -1) yield at;
  }
}

const TYPE = /"type"\s*:\s*"([\w.]*)"/;
/** The API writes an event's type first. */
const TYPE_WITHIN_BYTES = 128;

/** The `type` of the event whose `data:` line starts at `at`; empty: it has none. Mostly found without reading the event. */
export function eventType(lines: Buffer, at: number): string {
  const start = payloadStart(lines, at);
  const payload = lines.toString('latin1', start, Math.min(start + TYPE_WITHIN_BYTES, lineEnd(lines, at)));
  if (payload.startsWith('{"type"')) return TYPE.exec(payload)?.[1] ?? '';
  return String(parseLine(lines, at)?.type ?? '');
}

/** Whether the bytes from `start` to `end` are all that their `data:` line says. */
function isWholePayload(lines: Buffer, start: number, end: number): boolean {
  if (payloadStart(lines, start) !== start) return false;
  return end === lines.length || lines[end] === LF || lines[end] === CR;
}

/** The JSON object in the `data:` line around `at`; null if there is none. */
export function parseLine(lines: Buffer, at: number): JsonObject | null {
  const start = payloadStart(lines, at);
  if (start === -1) return null;
  const payload = parseJson(lines.toString('utf8', start, lineEnd(lines, at)));
  return isObject(payload) ? payload : null;
}

/** Where the value starts of the name that ends before `at`; -1 if no colon follows, so that it is no name. */
export function valueAt(lines: Buffer, at: number): number {
  const colon = skipBlanks(lines, at);
  return lines[colon] === COLON ? skipBlanks(lines, colon + 1) : -1;
}

export function isNull(lines: Buffer, at: number): boolean {
  return lines[at] === 0x6e && lines[at + 1] === 0x75 && lines[at + 2] === 0x6c && lines[at + 3] === 0x6c;
}

/** Whether the name at `at` (its opening quote) belongs to the line's object itself: not to one inside it, not to a string. */
export function isTopLevelName(lines: Buffer, at: number): boolean {
  let index = payloadStart(lines, at);
  if (index === -1) return false;
  let depth = 0;
  for (; index < at; index++) {
    const byte = lines[index] ?? 0;
    if (byte === QUOTE) index = stringEnd(lines, index + 1, at);
    // In ASCII a brace and its bracket differ in this one bit.
    else if ((byte | 0x20) === OPENING_BRACE) depth++;
    else if ((byte | 0x20) === CLOSING_BRACE) depth--;
  }
  return index === at && depth === 1;
}

/** Where the string ends whose first byte is at `at`; `until`, or the byte behind, where it goes on there. */
function stringEnd(lines: Buffer, at: number, until: number): number {
  let index = at;
  while (index < until && lines[index] !== QUOTE) index += lines[index] === BACKSLASH ? 2 : 1;
  return index;
}

/** A member from its name at `at` to the end of its value at `end`, with the comma that must go with it. */
export function memberRange(lines: Buffer, at: number, end: number): Range {
  let before = at - 1;
  while (lines[before] === SPACE) before--;
  if (lines[before] === COMMA) return { start: before, end };
  const after = skipBlanks(lines, end);
  return { start: at, end: lines[after] === COMMA ? skipBlanks(lines, after + 1) : end };
}

function skipBlanks(lines: Buffer, at: number): number {
  while (lines[at] === SPACE || lines[at] === 0x09) at++;
  return at;
}

/** What remains without `ranges`, which are in the order of their ends and may overlap; the same Buffer when there are none. */
export function cut(lines: Buffer, ranges: Range[]): Buffer {
  if (ranges.length === 0) return lines;
  const remaining = Buffer.allocUnsafe(lines.length);
  let length = 0;
  let at = 0;
  for (const { start, end } of ranges) {
    if (start > at) length += lines.copy(remaining, length, at, start);
    at = end;
  }
  length += lines.copy(remaining, length, at);
  return remaining.subarray(0, length);
}

const EVENT_LINE = Buffer.from('event:');

/** What must stand between whole lines and another event: a blank line, where the last event lacks it and has more than its name. */
export function separatorAfter(lines: Buffer): '' | '\n' {
  const start = lineStart(lines, lines.length - 2);
  if (start >= lines.length || blankLineEnd(lines, start) > start) return '';
  return lines.indexOf(EVENT_LINE, start) === start ? '' : '\n';
}

const SEQUENCE = Buffer.from('"sequence_number"');

/** Returns the `sequence_number` behind the last one that stands in whole lines; null: none does. */
export function nextSequenceNumber(lines: Buffer): number | null {
  const at = lines.lastIndexOf(SEQUENCE);
  const value = at === -1 ? -1 : valueAt(lines, at + SEQUENCE.length);
  const last = value === -1 ? Number.NaN : Number.parseInt(lines.toString('latin1', value, value + 16), 10);
  return Number.isSafeInteger(last) ? last + 1 : null;
}

/** Returns whether a line of data is these bytes and nothing else. */
export function hasPayload(lines: Buffer, payload: Buffer): boolean {
  for (let at = lines.indexOf(payload); at !== -1; at = lines.indexOf(payload, at + payload.length))
    if (isWholePayload(lines, at, at + payload.length)) return true;
  return false;
}
