/**
 * The job `storage`: charges what vector stores keep to the teams that made them. Owns: which days are due, what each store
 * is asked for, and that a day of a store is charged once: the id of its event is made of both. Does not own: how the bill is
 * divided (domain/storage.ts), nor when it runs (every.ts). Invariant: a day is charged for all stores or, where the size of
 * one cannot be read, for none of them until it can.
 */
import { createHash } from 'node:crypto';
import { settleInOrder } from '../domain/budget.ts';
import { asId } from '../domain/ids.ts';
import type { PicoUsd } from '../domain/money.ts';
import { costOf, type Price, type RateCards } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { daysDue, storageSteps } from '../domain/storage.ts';
import { DAY_MS } from '../domain/window.ts';
import { eventJson, factsJson } from '../ledger/events.ts';
import { eventFromJson } from '../ledger/read-journal.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { book, type FlushEvent } from '../store/hot/flush.ts';
import { type KeptStore, listKeptStores, noteCharged, payingGrants } from '../store/storage.ts';
import type { UpstreamReader } from '../upstreams/read.ts';

/** Returns the bytes that a store takes; null: it is there no more. Rejects where that cannot be read. */
export type ReadBytes = (store: KeptStore) => Promise<number | null>;

export interface StorageOptions {
  database: Database;
  readBytes: ReadBytes;
  rates: () => RateCards;
  /** Milliseconds since the epoch. */
  nowMs: () => number;
}

/** Any number, the same in every version of Tollgate. */
const STORAGE_LOCK = 8_655_428_317;
const OPERATION = 'vector_stores.storage';
const MODEL = 'vector_store';
/** Stands for the key of a store that no key made. */
const NO_KEY = '00000000-0000-0000-0000-000000000000';

/** How often a store is asked for before its size is one that cannot be read. */
const TRIES = 3;
/** As the official SDK asks for it. */
const BETA = ['openai-beta', 'assistants=v2'];

/**
 * Reads the size of a store from the upstream that keeps it.
 * @param reader of that upstream; null: it is not configured
 */
export async function readSize(
  reader: UpstreamReader | null,
  { id, upstream }: KeptStore,
): Promise<number | null> {
  if (reader === null)
    throw new Error(`the upstream '${upstream}' of the vector store ${id} is not configured`);
  for (let tries = 1; ; tries++) {
    const { status, json } = await reader.ask('GET', `/vector_stores/${encodeURIComponent(id)}`, BETA);
    if (status === 404) return null;
    const bytes = status === 200 ? json?.usage_bytes : undefined;
    if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
    if (tries < TRIES && (status === 0 || status >= 500)) continue;
    throw new Error(`the size of the vector store ${id} cannot be read: status ${status}`);
  }
}

/** Charges every day that is due, once; returns how many events were new. Null: another replica is at it. */
export function chargeStorage(options: StorageOptions, signal: AbortSignal): Promise<number | null> {
  return runAlone(options.database, STORAGE_LOCK, () => chargeDue(options, signal));
}

async function chargeDue(
  { database: { sql }, readBytes, rates, nowMs }: StorageOptions,
  signal: AbortSignal,
): Promise<number> {
  const now = nowMs();
  const kept = await listKeptStores(sql);
  const due = kept.map((store) => ({ store, days: daysDue(store, now) }));
  if (due.every(({ days }) => days.length === 0)) return 0;
  const sized: { store: KeptStore; days: number[]; bytes: number }[] = [];
  for (const each of due) {
    signal.throwIfAborted();
    const bytes = await readBytes(each.store);
    if (bytes !== null) sized.push({ ...each, bytes });
  }
  // A store that was charged today already has its part of the free GiB all the same.
  const steps = storageSteps(sized.map(({ bytes }) => bytes));
  let inserted = 0;
  for (const [index, { store, days }] of sized.entries()) {
    for (const day of days) {
      const event = await eventOf(sql, rates(), store, day, steps[index] ?? 0);
      if (event !== null) inserted += await book(sql, [event]);
    }
    const last = days.at(-1);
    if (last !== undefined) await noteCharged(sql, store, last + DAY_MS);
  }
  return inserted;
}

async function eventOf(
  sql: Database['sql'],
  rates: RateCards,
  store: KeptStore,
  dayMs: number,
  steps: number,
): Promise<FlushEvent | null> {
  if (steps === 0) return null;
  const usage = { storage_gib_days: steps };
  const price = rates.find(MODEL, dayMs)?.tiers.default ?? null;
  const cost = price === null ? null : costOf(usage, price);
  if (price === null || cost === null) throw new Error('storage has no price');
  const id = idOf(store, dayMs);
  const { teamId, keyId, departments, tags } = store;
  const facts = factsJson(
    id,
    NO_KEY,
    {
      ...{ ...FACTS, teamId, departments, tags, keyId: keyId ?? asId(NO_KEY) },
      ...{ priceId: price.id, upstream: store.upstream },
    },
    cost,
  );
  const paid = await allocationsOf(sql, store, cost, dayMs);
  return eventFromJson(eventJson(facts, outcomeOf(price, usage, cost), JSON.stringify(paid)));
}

const FACTS = { operation: OPERATION, model: MODEL, stream: false, endUser: null, outputLimit: null };

function outcomeOf({ id }: Price, usage: { storage_gib_days: number }, cost: PicoUsd) {
  return {
    ...{ outcome: 'settled' as const, provenance: 'reported' as const, reason: null },
    ...{ upstreamStatus: null, upstreamRequestId: null, responseModel: null, serviceTier: null },
    ...{ usage, cost, priceId: id },
  };
}

/** What is kept costs whether there is money for it or not: what grants do not cover is an overrun of the last. */
async function allocationsOf(sql: Database['sql'], { teamId }: KeptStore, cost: PicoUsd, dayMs: number) {
  const grants = await payingGrants(sql, teamId, dayMs + DAY_MS - 1);
  const settled = settleInOrder(
    grants.map(({ left }) => left),
    cost,
  );
  return grants.flatMap(({ counterId }, index) => {
    const part = settled[index] ?? 0n;
    return part === 0n ? [] : [{ counter: counterId, held: '0.00', settled: formatUsd(part) }];
  });
}

/** A UUIDv7 of the begin of the day, its rest made of the store and the day: the same on every replica. */
function idOf({ teamId, id }: KeptStore, dayMs: number): string {
  const bytes = createHash('sha256').update(`${OPERATION} ${teamId} ${id} ${dayMs}`).digest().subarray(0, 16);
  bytes.writeUIntBE(dayMs, 0, 6);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
