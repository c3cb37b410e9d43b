/**
 * Reading journals back: events from their lines, and the events between two numbers from several files. Files that are not
 * needed any more are kept for a while, because the store may turn out to have forgotten what is in them. An event's
 * number is its place among all events of its instance, from 1.
 */
import { closeSync, openSync, readdirSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { asId, departmentsOf, momentOfUuidV7 } from '../domain/ids.ts';
import { usd } from '../domain/money.ts';
import { tagTexts } from '../domain/tags.ts';
import type { FlushEvent, PutBackBatch } from '../store/hot/flush.ts';
import type { LedgerStore } from './heartbeat.ts';
import { JournalHeader, parseLine } from './journal.ts';

const NAME = /^([0-9a-f-]{36})\.(\d+)(\.last)?\.log$/;
const BATCH = 500;
/** What is read at a time: some sixty events, a few milliseconds of work. */
const PART_BYTES = 65_536;

/** Returns the kept files of each instance, oldest first. */
export function keptFiles(folder: string): Map<string, string[]> {
  const files: { instance: string; segment: number; path: string }[] = [];
  for (const name of readdirSync(folder)) {
    const [, instance, segment] = NAME.exec(name) ?? [];
    if (instance !== undefined) files.push({ instance, segment: Number(segment), path: join(folder, name) });
  }
  files.sort((a, b) => a.segment - b.segment);
  const byInstance = new Map<string, string[]>();
  for (const { instance, path } of files)
    byInstance.set(instance, [...(byInstance.get(instance) ?? []), path]);
  return byInstance;
}

/** Returns the last file of each instance that has ended. */
export function lastFiles(folder: string): Map<string, string> {
  const last = new Map<string, string>();
  for (const name of readdirSync(folder)) {
    const [, instance, , isLast] = NAME.exec(name) ?? [];
    if (instance !== undefined && isLast !== undefined) last.set(instance, join(folder, name));
  }
  return last;
}

/** Removes files that were last written longer ago than they are to be kept. */
export function forgetKept(folder: string, keepMs: number, nowMs: number): void {
  for (const path of [...keptFiles(folder).values()].flat()) {
    try {
      if (statSync(path).mtimeMs < nowMs - keepMs) rmSync(path, { force: true });
    } catch {
      // Another instance on the same folder was faster.
    }
  }
}

/** Numbers of events: those after the first up to the second. */
export interface NumberRange {
  after: number;
  until: number;
}

/**
 * Puts the events of an instance between two numbers back from its files, oldest file first. What is in none of them is
 * noted as a gap. Returns how many were new.
 */
export async function putBackEvents(
  store: Pick<LedgerStore, 'putBack' | 'noteGap'>,
  whose: Pick<PutBackBatch, 'instanceId' | 'epoch' | 'fenced'>,
  files: readonly string[],
  range: NumberRange,
): Promise<number> {
  let inserted = 0;
  let next = range.after + 1;
  const gapUntil = async (last: number) => {
    if (next <= last) await store.noteGap({ instanceId: whose.instanceId, first: next, last });
  };
  let batch: FlushEvent[] = [];
  const send = async () => {
    if (batch.length > 0) inserted += await store.putBack({ ...whose, events: batch, last: null });
    batch = [];
  };
  for (const file of files) {
    for await (const { number, json } of endedCalls(file)) {
      if (number < next) continue;
      if (number > range.until) break;
      await gapUntil(number - 1);
      next = number + 1;
      batch.push(eventFromJson(json));
      if (batch.length === BATCH) await send();
    }
  }
  await send();
  await gapUntil(range.until);
  return inserted;
}

/** The events of one file with their numbers, as far as it can be read: what is damaged leaves a gap. */
async function* endedCalls(path: string): AsyncGenerator<{ number: number; json: string }> {
  let number: number | null = null;
  for await (const text of linesOf(path)) {
    const line = parseLine(text);
    if (line === null) return;
    if (number === null) {
      const header = line.type === 'J' ? JournalHeader.safeParse(JSON.parse(line.json)) : null;
      if (!header?.success) return;
      number = header.data.number;
    } else if (line.type === 'S') yield { number: ++number, json: line.json };
  }
}

/**
 * Reads a part, and lets the event loop turn before the next one. Streams are not used: the time that they take is not the
 * ledger's clock, which tests advance.
 */
async function* linesOf(path: string): AsyncGenerator<string> {
  const file = openSync(path, 'r');
  try {
    const part = Buffer.allocUnsafe(PART_BYTES);
    const decoder = new StringDecoder('utf8');
    let rest = '';
    for (let bytes = readSync(file, part); bytes > 0; bytes = readSync(file, part)) {
      const lines = (rest + decoder.write(part.subarray(0, bytes))).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
      if (bytes === PART_BYTES) await turn();
    }
    if (rest !== '') yield rest;
  } finally {
    closeSync(file);
  }
}

/** What is read back of a row: journals outlive the process, and the release, that wrote them. */
const StoredEvent = z.object({
  id: z.uuid(),
  team_id: z.string(),
  key_id: z.string(),
  model: z.string(),
  end_user: z.string().nullish(),
  departments: z.string().nullish(),
  tags: z.record(z.string(), z.string()).nullish(),
  input_tokens: z.number(),
  output_tokens: z.number(),
  cost_usd: z.string(),
  allocations: z.array(z.object({ counter: z.string(), held: z.string(), settled: z.string() })),
});
const StoredHold = z.looseObject({ id: z.uuid(), hold_usd: z.string() });

/**
 * Reads back the row of an ended call.
 * @throws when it is no row of an event
 */
export function eventFromJson(json: string): FlushEvent {
  const stored = StoredEvent.parse(JSON.parse(json));
  const tags = tagTexts(stored.tags ?? null);
  return {
    id: stored.id,
    teamId: asId(stored.team_id),
    keyId: asId(stored.key_id),
    endUser: stored.end_user ?? null,
    departments: departmentsOf(stored.departments),
    ...(tags === null ? null : { tags }),
    model: stored.model,
    createdAtMs: momentOfUuidV7(stored.id),
    claim: {
      cost: usd(stored.cost_usd),
      input_tokens: stored.input_tokens,
      output_tokens: stored.output_tokens,
    },
    allocations: stored.allocations.map((part) => ({
      counterId: asId(part.counter),
      held: usd(part.held),
      settled: usd(part.settled),
    })),
    json: Buffer.from(json),
  };
}

/** Makes the event of a call whose process died: charged at its hold until there is evidence. */
export function unknownFromHold(json: string): FlushEvent {
  const { job: _job, ...held } = StoredHold.parse(JSON.parse(json));
  return eventFromJson(
    JSON.stringify({
      ...held,
      outcome: 'unknown',
      provenance: 'unknown',
      reason: 'crash',
      upstream_status: null,
      upstream_request_id: null,
      response_model: null,
      service_tier: null,
      input_tokens: 0,
      cached_input_tokens: 0,
      cache_write_tokens: 0,
      output_tokens: 0,
      reasoning_tokens: 0,
      cost_usd: held.hold_usd,
      stage_us: {},
    }),
  );
}
