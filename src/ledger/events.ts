/**
 * Holds and events: one call's money on its way, from its reservation to its one event. Owns: the state of each hold, which
 * of the open ones Postgres has to persist, the id of the event and the clock that its moment is read from, and its JSON by
 * column name, written once for the journal and for Postgres alike. A hold is journaled as the few columns from which
 * recovery makes the event of a call whose outcome is not known.
 */
import { randomFillSync } from 'node:crypto';
import type { Denial } from '../admission/decide.ts';
import type { Reservation } from '../admission/leases.ts';
import type { Changed, QueuedCall, Unavailable } from '../admission/waiting.ts';
import type { CounterSpec } from '../domain/counter.ts';
import { type KeyId, momentOfUuidV7, type TeamId } from '../domain/ids.ts';
import type { Instead, Meter } from '../domain/limit.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { OutcomeName, Provenance } from '../domain/outcome.ts';
import {
  type Claim,
  formatUsd,
  isTextOnly,
  NOTHING_USED,
  quantitiesJson,
  used,
} from '../domain/quantities.ts';
import { storable } from '../domain/storable.ts';
import { parseTag, type TagText } from '../domain/tags.ts';
import type { Usage } from '../domain/usage.ts';
import type { NamedJob } from '../store/hot/jobs.ts';

/** What is known of a call when it is held. */
export interface CallFacts {
  teamId: TeamId;
  keyId: KeyId;
  operation: string;
  model: string;
  stream: boolean;
  endUser: string | null;
  /** The team's department, then the one above, … as Postgres writes an array; null: none. */
  departments: string | null;
  /** As texts, in the order of their names; missing or null: none. */
  tags?: readonly TagText[] | null;
  /** Price row by which the hold was bounded; the event stores the one that was billed. */
  priceId: string | null;
  outputLimit: number | null;
  /** What a limit did instead of denying it; missing or null: none did. */
  onExhausted?: Instead | null;
  /** Name of the upstream that it goes to; missing or null: there is one. */
  upstream?: string | null;
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
const PLAIN = /^[\w.:/-]*$/;

/**
 * JSON that Postgres accepts, where a client's `user` or an upstream's header may hold what it does not: one such row would
 * keep every batch behind it out of the ledger.
 */
function quote(text: string | null): string {
  if (text === null) return 'null';
  if (PLAIN.test(text)) return `"${text}"`;
  return JSON.stringify(storable(text));
}

/** A column that is mostly null: it is left out then, which Postgres takes for null. */
function member(name: string, text: string | null): string {
  return text === null ? '' : `"${name}":${quote(text)},`;
}

/** The column of tags, left out where there are none. */
function tagsMember(tags: readonly TagText[] | null): string {
  if (tags === null) return '';
  let json = '';
  for (const tag of tags) {
    const { name, value } = parseTag(tag);
    json += `${json === '' ? '' : ','}${quote(name)}:${quote(value ?? '')}`;
  }
  return `"tags":{${json}},`;
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

/** What a call holds of which counters, by pool. */
export interface HeldAmounts {
  readonly pools: readonly {
    readonly meter: Meter;
    readonly leases: readonly { readonly spec: Pick<CounterSpec, 'id'> }[];
  }[];
  /** Of each counter of each pool, in their order. */
  readonly amounts: readonly bigint[];
  readonly claim: Claim;
}

/**
 * What each counter holds of a call and is charged, where that is anything.
 * @param charged in the order of the reservation's amounts; null: as if all of the hold were used
 */
export function allocationsJson(
  { pools, amounts, claim }: HeldAmounts,
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
    // Ids in braces need no escaping.
    `${member('upstream', facts.upstream ?? null)}${facts.departments === null ? '' : `"departments":"${facts.departments}",`}` +
    `${tagsMember(facts.tags ?? null)}${facts.onExhausted ? `"on_exhausted":${JSON.stringify(facts.onExhausted)},` : ''}` +
    `${facts.outputLimit === null ? '' : `"output_limit":${facts.outputLimit},`}"hold_usd":"${heldUsd.of(held)}"`
  );
}

/** A call that is held and not yet settled, as the journal keeps it. */
export function holdLine({ factsJson, facts, reservation, object, job }: Hold): string {
  const priceId = quote(facts?.priceId ?? null);
  const goesOn = job === null ? '' : `,"job":${jobJson(job)}`;
  return withObject(
    `{${factsJson},"price_id":${priceId},"allocations":${allocationsJson(reservation, null)}${goesOn}}`,
    object,
  );
}

/** A job that the upstream has named, as the journal keeps it. */
function jobJson({ job, upstreamId, status }: NamedJob): string {
  return JSON.stringify({ job: { ...job, heldPicoUsd: String(job.heldPicoUsd) }, upstreamId, status });
}

function stagesJson(stageUs: StageUs): string {
  let json = '';
  for (const stage in stageUs) json += `${json === '' ? '' : ','}"${stage}":${stageUs[stage]}`;
  return `{${json}}`;
}

/**
 * The row with what its call left upstream: no column, hence the last member, by which the flush tells such an event from
 * the others (store/hot/objects.ts).
 */
export function withObject(event: string, object: string | null): string {
  return object === null ? event : `${event.slice(0, -1)},"object":${object}}`;
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

/**
 * Postgres's time, carried on by the monotonic clock between two heartbeats, so that a jump of the machine's wall clock
 * moves no window and no event id.
 */
export interface Clock {
  /** Milliseconds since the epoch, on Postgres's clock. */
  nowMs(): number;
  /** Milliseconds on a clock that never jumps; only differences mean something. */
  monotonicMs(): number;
  /** Takes over what Postgres's clock said in reply to a request that was sent and replied to at these monotonic moments. */
  synchronise(serverMs: number, sentAtMs: number, receivedAtMs: number): void;
}

export function createClock(monotonicMs: () => number = () => performance.now()): Clock {
  let offsetMs = Date.now() - monotonicMs();
  let last = 0;
  let synchronised = false;
  return {
    monotonicMs,
    nowMs() {
      // Never backwards: a corrected offset must not admit a call into a window that is over.
      last = Math.max(last, Math.floor(monotonicMs() + offsetMs));
      return last;
    },
    synchronise(serverMs, sentAtMs, receivedAtMs) {
      // What the machine's own clock said before the first reply does not count: it may be an hour ahead.
      if (!synchronised) last = 0;
      synchronised = true;
      const earliest = serverMs - receivedAtMs;
      const latest = serverMs - sentAtMs;
      // The server's reply was true at some moment in between; move only when our offset cannot be right.
      if (offsetMs < earliest || offsetMs > latest) offsetMs = (earliest + latest) / 2;
    },
  };
}

/** One call's money, taken out of the leases: held → settled, voided, unknown; or cancelled before it was journaled. */
export class Hold {
  readonly kind = 'hold';
  /** UUIDv7 of the moment of admission: the id of the call's event. */
  readonly id: string;
  readonly reservation: Reservation;
  /** The cost that it is held at. */
  readonly amount: PicoUsd;
  /** `asked`: Postgres is asked to persist it; `done`: it has, and the leases know. */
  persistence: 'none' | 'asked' | 'done' = 'none';
  /** How it ended, and what each of its amounts is charged; null until then. Its event follows in the same turn. */
  settled: { readonly outcome: Outcome; readonly claim: Claim; readonly amounts: readonly bigint[] } | null =
    null;
  ended = false;
  /** What its call goes on as, upstream: any instance writes its event, and this one only remembers it until then. */
  job: NamedJob | null = null;
  /** Null until it was journaled. */
  facts: CallFacts | null = null;
  /** The columns of its event that are known already (see `factsJson`); empty until it was journaled. */
  factsJson = '';
  /** What the call left upstream, as JSON; null: nothing that later calls may come back to. */
  object: string | null = null;
  /** Its neighbours among those that are open. */
  before: Hold | null = null;
  after: Hold | null = null;

  constructor(reservation: Reservation) {
    // The id bears the moment at which the windows were chosen: a later one might lie in the next window.
    this.id = uuidV7(reservation.atMs);
    this.reservation = reservation;
    this.amount = reservation.claim.cost;
  }

  get claim(): Claim {
    return this.reservation.claim;
  }

  get teamId(): TeamId {
    return this.reservation.teamId;
  }

  /** The output limit to write into the request; null: none. */
  get outputLimit(): number | null {
    return this.reservation.outputLimit;
  }
}

/** How a wait ends. */
export type QueueOutcome = Hold | Denial | Unavailable | Changed;

/** A call that must wait for its money. */
export class Queued {
  readonly kind = 'queued';
  readonly #call: QueuedCall;
  readonly #cancel: (hold: Hold) => void;
  #hold: Hold | null = null;

  constructor(call: QueuedCall, cancel: (hold: Hold) => void) {
    this.#call = call;
    this.#cancel = cancel;
  }

  /** Is called once, at once if the wait has ended already, and not after `leave`. */
  set onOutcome(callback: (outcome: QueueOutcome) => void) {
    this.#call.onOutcome = (outcome) => {
      if (outcome.kind !== 'reservation') {
        callback(outcome);
        return;
      }
      const hold = new Hold(outcome);
      this.#hold = hold;
      try {
        callback(hold);
      } catch (error) {
        // An error of the caller's: unless it has sent its call already, nothing is left that could end the hold.
        if (hold.facts === null && !hold.ended) this.#cancel(hold);
        throw error;
      }
    };
  }

  /** The caller does not want the outcome any more; a hold that it was given meanwhile is put back. */
  leave(): void {
    const outcome = this.#call.leave();
    if (outcome?.kind === 'reservation') this.#hold = new Hold(outcome);
    if (this.#hold !== null && !this.#hold.ended) this.#cancel(this.#hold);
  }
}
