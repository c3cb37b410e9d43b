/**
 * Events: the event of a call and its id, written once as JSON by column name, for the journal and for Postgres alike. A hold is
 * journaled as the few columns from which recovery makes the event of a call whose outcome is not known.
 */

import { randomFillSync } from 'node:crypto';
import { z } from 'zod';
import type { Reservation } from '../admission/lease-table.ts';
import { asId, type KeyId, momentOfUuidV7, type TeamId } from '../domain/ids.ts';
import { formatUsd, type PicoUsd, usd } from '../domain/money.ts';
import type { OutcomeName, Provenance } from '../domain/outcome.ts';
import { type Claim, isTextOnly, NOTHING_USED, quantitiesJson, used } from '../domain/quantities.ts';
import type { Usage } from '../domain/usage.ts';
import type { FlushEvent } from '../store/hot/flush.ts';

/** What is known of a call when it is held. */
export interface CallFacts {
  teamId: TeamId;
  keyId: KeyId;
  operation: string;
  model: string;
  stream: boolean;
  endUser: string | null;
  /** Price row by which the hold was bounded; the event stores the one that was billed. */
  priceId: string | null;
  outputLimit: number | null;
}

export interface Outcome {
  outcome: OutcomeName;
  provenance: Provenance;
  /** Why it is not an ordinary settled call; null: it is. */
  reason: string | null;
  upstreamStatus: number | null;
  upstreamRequestId: string | null;
  responseModel: string | null;
  serviceTier: string | null;
  usage: Usage | null;
  cost: PicoUsd;
  priceId: string | null;
}

/** Microseconds by stage of a call. */
export type StageUs = Readonly<Record<string, number>>;

/** What a call that has ended took of every meter: its usage, or all of its claim where that is not known. */
export function usedBy(claim: Claim, { outcome, usage, cost }: Outcome): Claim {
  const { input_tokens = 0, output_tokens = 0 } = usage ?? (outcome === 'voided' ? NOTHING_USED : claim);
  return { cost, input_tokens, output_tokens };
}

/** The outcome of a call of which nothing more will be known: it stays charged at its hold until there is evidence. */
export function unknownOutcome(heldCost: PicoUsd, priceId: string | null, reason: string): Outcome {
  return {
    outcome: 'unknown',
    provenance: 'unknown',
    reason,
    upstreamStatus: null,
    upstreamRequestId: null,
    responseModel: null,
    serviceTier: null,
    usage: null,
    cost: heldCost,
    priceId,
  };
}

/** The usual names and ids need no escaping, which is three times as fast to find out as to do. */
const PLAIN = /^[\w.:-]*$/;

/**
 * JSON that Postgres accepts: its texts hold neither NUL nor half a surrogate pair. A client's `user` or an upstream's
 * header may, and one such row would keep every batch behind it out of the ledger.
 */
function quote(text: string | null): string {
  if (text === null) return 'null';
  if (PLAIN.test(text)) return `"${text}"`;
  return JSON.stringify(text.toWellFormed().replaceAll('\0', '\ufffd'));
}

/** A column that is mostly null: it is left out then, which Postgres takes for null. */
function member(name: string, text: string | null): string {
  return text === null ? '' : `"${name}":${quote(text)},`;
}

let lastMs = 0;
let lastIso = '';

/** Many calls are admitted in the same millisecond. */
function isoOf(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    lastIso = new Date(ms).toISOString();
  }
  return lastIso;
}

/** An event names what is held, and what is charged, of several counters: mostly the same amount. */
class UsdText {
  #amount = 0n;
  #text = '0.00';

  of(amount: PicoUsd): string {
    if (amount !== this.#amount) {
      this.#amount = amount;
      this.#text = formatUsd(amount);
    }
    return this.#text;
  }
}

const heldUsd = new UsdText();
const chargedUsd = new UsdText();

/**
 * What each counter holds of a call and is charged, where that is anything.
 * @param charged in the order of the reservation's amounts; null: as if all of the hold were used
 */
export function allocationsJson(
  { pools, amounts, claim }: Pick<Reservation, 'pools' | 'amounts' | 'claim'>,
  charged: readonly bigint[] | null,
): string {
  let json = '';
  let at = 0;
  for (const { meter, leases } of pools) {
    const isUsed = charged !== null || used(meter, claim) > 0n;
    for (const { spec } of leases) {
      const held = amounts[at] ?? 0n;
      const settled = charged !== null ? (charged[at] ?? 0n) : isUsed ? held : 0n;
      at++;
      if (held === 0n && settled === 0n) continue;
      const start = json === '' ? '[{"counter":"' : ',{"counter":"';
      json += `${start}${spec.id}","held":"${heldUsd.of(held)}","settled":"${chargedUsd.of(settled)}"}`;
    }
  }
  return json === '' ? '[]' : `${json}]`;
}

/** The columns that are known at the hold and stay as they are: written once, used by both lines of the journal. */
export function factsJson(
  id: string,
  instanceId: string,
  facts: CallFacts,
  held: PicoUsd,
  atMs = momentOfUuidV7(id),
): string {
  return (
    `"id":"${id}","team_id":"${facts.teamId}","created_at":"${isoOf(atMs)}",` +
    `"key_id":"${facts.keyId}","instance_id":"${instanceId}","operation":"${facts.operation}",` +
    `"model":${quote(facts.model)},"stream":${facts.stream},${member('end_user', facts.endUser)}` +
    `${facts.outputLimit === null ? '' : `"output_limit":${facts.outputLimit},`}"hold_usd":"${heldUsd.of(held)}"`
  );
}

/** A call that is held and not yet settled. */
export function holdJson(facts: string, priceId: string | null, allocations: string): string {
  return `{${facts},"price_id":${quote(priceId)},"allocations":${allocations}}`;
}

function stagesJson(stageUs: StageUs): string {
  let json = '';
  for (const stage in stageUs) json += `${json === '' ? '' : ','}"${stage}":${stageUs[stage]}`;
  return `{${json}}`;
}

/** The column of what has no column of its own; left out where there is nothing. */
function quantitiesMember(usage: Usage | null): string {
  return usage === null || isTextOnly(usage) ? '' : `"quantities":${quantitiesJson(usage)},`;
}

/** The whole row of a call that has ended. */
export function eventJson(
  facts: string,
  outcome: Outcome,
  allocations: string,
  stageUs: StageUs = {},
): string {
  const { usage } = outcome;
  return (
    `{${facts},"outcome":"${outcome.outcome}","provenance":"${outcome.provenance}",` +
    `${member('reason', outcome.reason)}"upstream_status":${outcome.upstreamStatus},` +
    `"upstream_request_id":${quote(outcome.upstreamRequestId)},"response_model":${quote(outcome.responseModel)},` +
    `"service_tier":${quote(outcome.serviceTier)},"input_tokens":${usage?.input_tokens ?? 0},` +
    `"cached_input_tokens":${usage?.cached_input_tokens ?? 0},"cache_write_tokens":${usage?.cache_write_tokens ?? 0},` +
    `"output_tokens":${usage?.output_tokens ?? 0},"reasoning_tokens":${usage?.reasoning_tokens ?? 0},` +
    `${quantitiesMember(usage)}"price_id":${quote(outcome.priceId)},"cost_usd":"${chargedUsd.of(outcome.cost)}",` +
    `"stage_us":${stagesJson(stageUs)},"allocations":${allocations}}`
  );
}

/** What is read back of a row: journals outlive the process, and the release, that wrote them. */
const StoredEvent = z.object({
  id: z.uuid(),
  team_id: z.string(),
  key_id: z.string(),
  model: z.string(),
  end_user: z.string().nullish(),
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
  return {
    id: stored.id,
    teamId: asId(stored.team_id),
    keyId: asId(stored.key_id),
    endUser: stored.end_user ?? null,
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
    json,
  };
}

/** Makes the event of a call whose process died: charged at its hold until there is evidence. */
export function unknownFromHold(json: string): FlushEvent {
  const held = StoredHold.parse(JSON.parse(json));
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

/*
 * Ids of events: UUIDv7 (RFC 9562), whose first 48 bits are the moment of admission. Every call needs one: here it costs
 * 0.3 µs of CPU, with the package `uuid` (14.0.3) 2.4 µs, which draws random bytes for each id.
 */
const POOL_BYTES = 16 * 256;
const pool = Buffer.allocUnsafe(POOL_BYTES);
let next = POOL_BYTES;

/** A new UUIDv7 of this moment (milliseconds since the epoch). */
export function uuidV7(atMs: number): string {
  if (next === POOL_BYTES) {
    randomFillSync(pool);
    next = 0;
  }
  pool.writeUIntBE(atMs, next, 6);
  pool[next + 6] = ((pool[next + 6] ?? 0) & 0x0f) | 0x70;
  pool[next + 8] = ((pool[next + 8] ?? 0) & 0x3f) | 0x80;
  const hex = pool.toString('hex', next, next + 16);
  next += 16;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
