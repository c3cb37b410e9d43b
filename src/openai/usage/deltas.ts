/** Finds deltas with something written in them in lines of a stream, by their bytes: of a usual chunk nothing is parsed. */
import type { UsagePlace } from '../operations/descriptor.ts';
import { bytesOf, DELTA, type Name, type NamePlaces, TEXT } from '../wire/names.ts';
import { lineStart, valueAt } from '../wire/sse.ts';

const QUOTE = 0x22;
const OPENING_BRACE = 0x7b;
const SUMMARY = Buffer.from('reasoning_summary');
/** In more bytes a search is faster. */
const SUMMARY_WITHIN_BYTES = 1024;
/** Members of a chat delta that the model writes: its role, annotations and the like cost no token. */
const WRITTEN = ['content', 'tool_calls', 'function_call', 'refusal', 'reasoning_content', 'reasoning'];
const CONTENT = Buffer.from('content');

/** Returns how many deltas in these lines have something written in them. */
export function deltasIn({ stream, piece }: UsagePlace, lines: Buffer, found: NamePlaces): number {
  if (stream === 'terminal_event') return strings(lines, DELTA, found);
  return piece === 'text' ? strings(lines, TEXT, found) : chatDeltas(lines, found);
}

/** Deltas of chat chunks that have something written in them. */
function chatDeltas(lines: Buffer, found: NamePlaces): number {
  let count = 0;
  for (let index = found.next(DELTA, 0); index !== -1; index = found.next(DELTA, index + 1)) {
    const value = valueAt(lines, found.at(index) + bytesOf(DELTA).length);
    if (lines[value] === OPENING_BRACE && hasWritten(lines, value + 1)) count++;
  }
  return count;
}

/** Whether the first member of an object is one that the model writes, and not empty. */
function hasWritten(lines: Buffer, at: number): boolean {
  if (lines[at] !== QUOTE) return false;
  const end = lines.indexOf(QUOTE, at + 1);
  const value = end === -1 ? -1 : valueAt(lines, end + 1);
  if (value === -1 || isEmptyText(lines, value)) return false;
  return isContent(lines, at + 1, end) || WRITTEN.includes(lines.toString('latin1', at + 1, end));
}

/** Whether it is the usual one of them, for which no text is made. */
function isContent(lines: Buffer, start: number, end: number): boolean {
  if (end - start !== CONTENT.length) return false;
  for (let at = start; at < end; at++) if (lines[at] !== CONTENT[at - start]) return false;
  return true;
}

/** Members of this name whose value is a text, and not empty; those of a summary of reasoning are not the model's own. */
function strings(lines: Buffer, name: Name, found: NamePlaces): number {
  let count = 0;
  for (let index = found.next(name, 0); index !== -1; index = found.next(name, index + 1)) {
    const at = found.at(index);
    const value = valueAt(lines, at + bytesOf(name).length);
    if (value === -1 || lines[value] !== QUOTE || isEmptyText(lines, value)) continue;
    if (!isOfSummary(lines, lineStart(lines, at), at)) count++;
  }
  return count;
}

/** Whether the bytes before a name say that it is of a summary of reasoning: in their event's type, which stands first. */
function isOfSummary(lines: Buffer, start: number, end: number): boolean {
  if (end - start > SUMMARY_WITHIN_BYTES) return lines.subarray(start, end).includes(SUMMARY);
  const [first] = SUMMARY;
  for (let at = start; at + SUMMARY.length <= end; at++) {
    if (lines[at] !== first) continue;
    let same = 1;
    while (same < SUMMARY.length && lines[at + same] === SUMMARY[same]) same++;
    if (same === SUMMARY.length) return true;
  }
  return false;
}

/** An empty string, or null. */
function isEmptyText(lines: Buffer, value: number): boolean {
  return lines[value] === 0x6e || (lines[value] === QUOTE && lines[value + 1] === QUOTE);
}
