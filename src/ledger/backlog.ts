/**
 * The backlog: events that were journaled and that Postgres has not confirmed, oldest first. Owns: how they are kept
 * until then, which is as bytes: a busy instance has thousands of them, and as objects each would be copied twice by the
 * garbage collector and leave nothing behind. Invariant: first in, first out; what was taken stays until it is dropped.
 *
 * Beside them the holds of calls that have not ended: what Postgres does not have of this instance is in this file.
 *
 * A record is its length and its head's (four bytes each), the head (what a flush needs beside the row: the moment in six
 * bytes, then texts, counts and amounts), and the JSON of the row, which begins with its id.
 */

import type { Allocation } from '../domain/budget.ts';
import { asId, departmentsOf } from '../domain/ids.ts';
import type { Claim } from '../domain/quantities.ts';
import type { FlushEvent } from '../store/hot/flush.ts';
import type { CallFacts, HeldAmounts, Hold } from './events.ts';

const SLAB_BYTES = 256 * 1024;
/** Slabs that are kept for reuse. */
const SPARE_MAX = 4;
/** Lengths and moment. */
const FIXED_BYTES = 14;
/** Upper bounds of what is written beside texts: cost and tokens; two amounts and an index. */
const CLAIM_BYTES_MAX = 64;
const ALLOCATION_BYTES_MAX = 96;
const TAG_BYTES_MAX = 8;
/** Where the id stands in the JSON of a row: `{"id":"…"`. */
const ID_FROM = 7;
const ID_TO = ID_FROM + 36;

/** Ids and names come again and again: a record keeps their index. Longer texts, and further ones, stand in it. */
const SHARED_TEXTS_MAX = 65_536;
const SHARED_LENGTH_MAX = 256;
/** More than so many are forgotten when the backlog is empty. */
const SHARED_TEXTS_KEPT = 4_096;

/** How a text begins: there is none, it stands here, or its index from here on. */
const NO_TEXT = 0;
const OWN_TEXT = 1;
const SHARED_TEXT = 2;

/** How an amount begins: as a number, or as decimal digits where that would not be exact. */
const NUMBER = 0;
const DIGITS = 1;
const EXACT_MAX = BigInt(Number.MAX_SAFE_INTEGER);

interface Slab {
  bytes: Buffer;
  /** How much of it is written. */
  used: number;
}

export class Backlog {
  /** How many events there are, those that were taken included. */
  length = 0;
  #slabs: Slab[] = [newSlab(SLAB_BYTES)];
  readonly #spare: Slab[] = [];
  /** Where the oldest record begins in the first slab. */
  #firstAt = 0;
  /** What was taken: how many events, and where the next one begins. */
  #taken = { events: 0, slab: 0, at: 0 };
  #shared: string[] = [];
  readonly #indexOf = new Map<string, number>();
  /** Where is written, or read. */
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** When the oldest event was admitted, in milliseconds since the epoch; null: there is none. */
  get oldestMs(): number | null {
    const [slab] = this.#slabs;
    return this.length === 0 || !slab ? null : slab.bytes.readUIntBE(this.#firstAt + 8, 6);
  }

  /**
   * Adds an event.
   * @param amounts what was held of each lease of the pools, in their order; `charged`: what each is charged
   * @param json the row of the event, which begins with its id
   */
  add(
    { teamId, keyId, endUser, departments, tags = null, model }: CallFacts,
    createdAtMs: number,
    claim: Claim,
    held: Pick<HeldAmounts, 'pools' | 'amounts'>,
    charged: readonly bigint[],
    json: string,
  ): void {
    let texts =
      teamId.length +
      keyId.length +
      (endUser?.length ?? 0) +
      (departments?.length ?? 0) +
      model.length +
      json.length;
    if (tags !== null) for (const tag of tags) texts += tag.length + TAG_BYTES_MAX;
    const most = FIXED_BYTES + CLAIM_BYTES_MAX + held.amounts.length * ALLOCATION_BYTES_MAX + 3 * texts + 32;
    const slab = this.#slabFor(most);
    this.#bytes = slab.bytes;
    this.#at = slab.used + FIXED_BYTES;
    this.#bytes.writeUIntBE(createdAtMs, slab.used + 8, 6);
    this.#putText(teamId);
    this.#putText(keyId);
    this.#putText(endUser);
    this.#putText(departments);
    this.#putText(model);
    if (tags !== null) for (const tag of tags) this.#putText(tag);
    this.#putText(null);
    this.#putAmount(claim.cost);
    this.#putNumber(claim.input_tokens);
    this.#putNumber(claim.output_tokens);
    let index = 0;
    for (const { leases } of held.pools) {
      for (const { spec } of leases) {
        const amount = held.amounts[index] ?? 0n;
        const cost = charged[index++] ?? 0n;
        if (amount === 0n && cost === 0n) continue;
        this.#putText(spec.id);
        this.#putAmount(amount);
        this.#putAmount(cost);
      }
    }
    this.#putText(null);
    const headLength = this.#at - slab.used;
    const length = headLength + slab.bytes.write(json, this.#at);
    slab.bytes.writeUInt32LE(length, slab.used);
    slab.bytes.writeUInt32LE(headLength, slab.used + 4);
    slab.used += length;
    this.length++;
  }

  /** Returns the oldest events, `max` of them at most. They stay here until `drop`. */
  take(max: number): FlushEvent[] {
    const events: FlushEvent[] = [];
    let at = this.#firstAt;
    let index = 0;
    for (let slab = this.#slabs[0]; slab && events.length < max; ) {
      if (at < slab.used) {
        events.push(this.#read(slab.bytes, at));
        at += slab.bytes.readUInt32LE(at);
      } else {
        if (index === this.#slabs.length - 1) break;
        slab = this.#slabs[++index];
        at = 0;
      }
    }
    this.#taken = { events: events.length, slab: index, at };
    return events;
  }

  /** Drops what was taken last. */
  drop(): void {
    const { events, slab, at } = this.#taken;
    if (events === 0) return;
    this.#taken = { events: 0, slab: 0, at: 0 };
    for (const done of this.#slabs.splice(0, slab)) this.#retire(done);
    this.#firstAt = at;
    this.length -= events;
    const [first] = this.#slabs;
    if (!first || this.#firstAt < first.used) return;
    // The oldest event stands in the next slab, or there is none.
    this.#firstAt = 0;
    if (this.#slabs.length > 1) {
      this.#slabs.shift();
      this.#retire(first);
      return;
    }
    first.used = 0;
    if (this.#shared.length > SHARED_TEXTS_KEPT) {
      this.#shared = [];
      this.#indexOf.clear();
    }
  }

  /** The rows of all events, oldest first. */
  *rows(): Generator<string> {
    let at = this.#firstAt;
    for (const { bytes, used } of this.#slabs) {
      while (at < used) {
        const end = at + bytes.readUInt32LE(at);
        yield bytes.toString('utf8', at + bytes.readUInt32LE(at + 4), end);
        at = end;
      }
      at = 0;
    }
  }

  #slabFor(most: number): Slab {
    const last = this.#slabs.at(-1);
    if (last && last.used + most <= last.bytes.length) return last;
    if (last?.used === 0) this.#slabs.pop();
    const slab = most > SLAB_BYTES ? newSlab(most) : (this.#spare.pop() ?? newSlab(SLAB_BYTES));
    this.#slabs.push(slab);
    return slab;
  }

  #retire(slab: Slab): void {
    if (this.#spare.length === SPARE_MAX || slab.bytes.length !== SLAB_BYTES) return;
    slab.used = 0;
    this.#spare.push(slab);
  }

  #read(bytes: Buffer, from: number): FlushEvent {
    const jsonAt = from + bytes.readUInt32LE(from + 4);
    this.#bytes = bytes;
    this.#at = from + FIXED_BYTES;
    const teamId = this.#getText() ?? '';
    const keyId = this.#getText() ?? '';
    const endUser = this.#getText();
    const departments = departmentsOf(this.#getText());
    const model = this.#getText() ?? '';
    const tags = this.#getTexts();
    const cost = this.#getAmount();
    const claim = { cost, input_tokens: this.#getNumber(), output_tokens: this.#getNumber() };
    const allocations: Allocation[] = [];
    for (let id = this.#getText(); id !== null; id = this.#getText()) {
      allocations.push({ counterId: asId(id), held: this.#getAmount(), settled: this.#getAmount() });
    }
    return {
      id: bytes.toString('latin1', jsonAt + ID_FROM, jsonAt + ID_TO),
      teamId: asId(teamId),
      keyId: asId(keyId),
      endUser,
      departments,
      ...(tags === null ? null : { tags }),
      model,
      createdAtMs: bytes.readUIntBE(from + 8, 6),
      claim,
      allocations,
      // A copy, outside of the heap: the slab is written again once the event was dropped.
      json: Buffer.from(bytes.subarray(jsonAt, from + bytes.readUInt32LE(from))),
    };
  }

  /** Texts up to the end of their list; null: it is empty. */
  #getTexts(): string[] | null {
    let texts: string[] | null = null;
    for (let text = this.#getText(); text !== null; text = this.#getText()) {
      texts ??= [];
      texts.push(text);
    }
    return texts;
  }

  /** Seven bits a byte, the lowest first. */
  #putNumber(number: number): void {
    const bytes = this.#bytes;
    let rest = number;
    while (rest >= 128) {
      bytes[this.#at++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    bytes[this.#at++] = rest;
  }

  #getNumber(): number {
    let number = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.#at++] ?? 0;
      if (byte < 128) return number + byte * factor;
      number += (byte - 128) * factor;
    }
  }

  #putAmount(amount: bigint): void {
    if (amount >= 0n && amount <= EXACT_MAX) {
      this.#bytes[this.#at++] = NUMBER;
      this.#putNumber(Number(amount));
      return;
    }
    this.#bytes[this.#at++] = DIGITS;
    this.#putOwn(String(amount));
  }

  #getAmount(): bigint {
    return this.#bytes[this.#at++] === NUMBER ? BigInt(this.#getNumber()) : BigInt(this.#getOwn());
  }

  #putText(text: string | null): void {
    if (text === null) {
      this.#putNumber(NO_TEXT);
      return;
    }
    const known = this.#indexOf.get(text);
    if (known !== undefined) {
      this.#putNumber(SHARED_TEXT + known);
    } else if (this.#shared.length < SHARED_TEXTS_MAX && text.length <= SHARED_LENGTH_MAX) {
      this.#putNumber(SHARED_TEXT + this.#shared.length);
      this.#indexOf.set(text, this.#shared.length);
      this.#shared.push(text);
    } else {
      this.#putNumber(OWN_TEXT);
      this.#putOwn(text);
    }
  }

  #getText(): string | null {
    const kind = this.#getNumber();
    if (kind === NO_TEXT) return null;
    return kind === OWN_TEXT ? this.#getOwn() : (this.#shared[kind - SHARED_TEXT] ?? '');
  }

  #putOwn(text: string): void {
    const bytes = Buffer.from(text);
    this.#putNumber(bytes.length);
    bytes.copy(this.#bytes, this.#at);
    this.#at += bytes.length;
  }

  #getOwn(): string {
    const length = this.#getNumber();
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }
}

function newSlab(bytes: number): Slab {
  return { bytes: Buffer.allocUnsafeSlow(bytes), used: 0 };
}

/** A hold this old gets a row of its own in Postgres. */
const LONG_MS = 60_000;

/**
 * Holds that are in the journal and have not ended. Invariant: oldest first. A list of their own links: a Map leaves a table behind
 * whenever it makes a new one, which refers to that and to what it had, and in the old generation keeps all of it from collection.
 */
export class OpenHolds {
  #first: Hold | null = null;
  #last: Hold | null = null;
  /** Of those whose events this instance is to write. */
  size = 0;
  readonly #handedOver = new Map<string, Hold>();

  add(hold: Hold): void {
    const before = this.#last;
    if (before === null) this.#first = hold;
    else before.after = hold;
    hold.before = before;
    this.#last = hold;
    this.size++;
  }

  remove(hold: Hold): void {
    if (!this.has(hold)) return;
    const { before, after } = hold;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    hold.before = null;
    hold.after = null;
    this.size--;
  }

  /** Its event is written by whichever instance sees the end of its job. */
  handOver(hold: Hold): void {
    this.remove(hold);
    this.#handedOver.set(hold.id, hold);
  }

  /** Those that were handed over and are not known to have ended, by id. */
  get handedOver(): ReadonlyMap<string, Hold> {
    return this.#handedOver;
  }

  /** The event of a hold that was handed over is in Postgres. */
  forget(id: string): void {
    this.#handedOver.delete(id);
  }

  has(hold: Hold): boolean {
    return hold.before !== null || hold === this.#first;
  }

  /** Those whose events this instance is to write. */
  own(): Hold[] {
    const own: Hold[] = [];
    for (let hold = this.#first; hold !== null; hold = hold.after) own.push(hold);
    return own;
  }

  /** Those that were handed over too: the journal keeps them, and the store may forget them. */
  all(): Hold[] {
    return [...this.#handedOver.values(), ...this.own()];
  }

  /** Returns the holds that have become old; from now on Postgres is asked to persist them. */
  grownOld(nowMs: number): Hold[] {
    const old: Hold[] = [];
    for (let hold = this.#first; hold !== null; hold = hold.after) {
      if (nowMs - hold.reservation.atMs < LONG_MS) break;
      if (hold.persistence !== 'none' || !hold.reservation.pools.some((pool) => pool.isPersistable)) continue;
      hold.persistence = 'asked';
      old.push(hold);
    }
    return old;
  }
}
