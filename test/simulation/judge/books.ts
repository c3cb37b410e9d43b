/**
 * The books: what the store and the instances' ledgers say, held against what the judge added up itself. Looked at
 * after every step.
 */
import type { Window } from '../../../src/domain/window.ts';
import type { Ledger } from '../../../src/ledger/ledger.ts';
import type { FlushEvent } from '../../../src/store/hot/flush.ts';
import type { MemoryCounter } from '../memory-counter.ts';
import type { MemoryStore } from '../memory-store.ts';
import { NOTHING } from './amounts.ts';
import { type CallRecord, type CallReport, DURABLE_AFTER_MS, type Owner } from './calls.ts';
import { expectThat } from './expectations.ts';
import { countedOf, type Judge } from './judge.ts';
import { isReset } from './rulebook.ts';
import { type LimitRule, mostOf, type Tally } from './tally.ts';
import { windowName } from './windows.ts';

export class Books {
  readonly #judge: Judge;
  readonly #store: MemoryStore;
  #events: Iterator<FlushEvent>;
  #booked = 0;
  /**
   * What of each counter was out when it was last looked at, less what nobody had to lend: it may not grow above the
   * amount.
   */
  readonly #out = new Map<string, bigint>();
  /** The store has forgotten some of what is out, and no instance has noticed yet: what was out before still is. */
  #isForgotten = false;
  /** What was out when the store had just gone back to an older state, in which more may have been lent. */
  readonly #outThen = new Map<string, bigint>();

  constructor(judge: Judge, store: MemoryStore) {
    this.#judge = judge;
    this.#store = store;
    this.#events = store.events.values();
  }

  check(ledgers: Iterable<readonly [Owner, Ledger]>): void {
    this.take();
    if (!this.#store.history.isLending) this.#isForgotten = false;
    this.#checkOver();
    this.#checkCounters();
    for (const [owner, ledger] of ledgers) this.#checkLedger(owner, ledger);
  }

  /** Takes in the events that came into the ledger since the last time: each must be of a call, and true. */
  take(): void {
    // Never asked for one more than there is: a map's iterator that came to its end does not see what is added later.
    for (; this.#booked < this.#store.events.size; this.#booked++) {
      const event = this.#events.next().value as FlushEvent;
      const call = this.#judge.calls.get(event.id);
      expectThat(
        call !== undefined && !call.cancelled,
        'events',
        () => `nobody made the call of event ${event.id}`,
      );
      bookCall(call!, event);
      if (call!.settledLate && call!.reported!.outcome === 'unknown') this.#judge.unknown.add(call!);
    }
  }

  /** The store has forgotten these events: they must come back. */
  forget(lost: Iterable<string>): void {
    this.#isForgotten = true;
    this.#outThen.clear();
    for (const id of lost) unbookCall(this.#judge.calls.get(id)!);
    // What is still there was taken in before.
    this.#events = this.#store.events.values();
    this.#booked = this.#store.events.size;
    for (let taken = 0; taken < this.#booked; taken++) this.#events.next();
  }

  /** Nothing lost: all that an instance forwarded is in the ledger once its journal was read. */
  #checkOver(): void {
    for (const owner of this.#judge.owners.values()) {
      if (owner.state !== 'ended') continue;
      expectThat(
        owner.unbooked === 0,
        'events',
        () => `${owner.unbooked} calls of ${owner.id} have no event`,
      );
      for (const call of owner.open) this.#judge.cancelled(call);
    }
  }

  #checkCounters(): void {
    const lent = new Map<string, bigint>();
    for (const { counterId, instanceId, granted, returned, settled } of this.#store.leases.values()) {
      const out = granted - returned - settled;
      expectThat(out >= 0n, 'leases', () => `the lease of ${instanceId} on ${counterId} is ${out}`);
      lent.set(counterId, (lent.get(counterId) ?? 0n) + out);
    }
    const credits = new Map<Tally, MemoryCounter[]>();
    for (const [id, counter] of this.#store.counters) {
      const leased = lent.get(id) ?? 0n;
      expectThat(
        counter.leased === leased,
        'counters',
        () => `${id} has lent ${counter.leased}, its leases are ${leased}`,
      );
      const tally = tallyOf(this.#judge, counter);
      if (this.#isRemade(counter, tally)) continue;
      if (tally.rule.kind === 'credit') credits.set(tally, [...(credits.get(tally) ?? []), counter]);
      else this.#checkLimit(id, counter, tally);
    }
    for (const [tally, counters] of credits) this.#checkPurse(tally, counters);
  }

  /**
   * A window that a reset has ended. Since the store went back its counter may have been made again, with all of its time. A
   * correction moves no counter that is over, though it may hold a call of a process that had not heard of the reset.
   */
  #isRemade({ spec }: MemoryCounter, { rule, raise, isCorrected }: Tally): boolean {
    if (rule.kind !== 'limit' || raise !== null) return false;
    const isEnded = spec.startsAtMs < (rule.resets.at(-1)?.atMs ?? 0);
    return isEnded && (isCorrected || this.#store.history.hasBroken);
  }

  #checkLimit(id: string, counter: MemoryCounter, tally: Tally): void {
    const { amount, settled, held, leased } = counter;
    expectThat(
      settled === tally.booked,
      'counters',
      () => `${id} has settled ${settled}, its events are ${tally.booked}`,
    );
    const out = settled + held + leased - tally.bookedOverrun - tally.loose - tally.recharged;
    // What is put back is there twice until the leases end that had paid for it.
    if (!this.#store.history.isLending) return;
    this.#checkCovered(id, tally, settled + held + leased);
    const last = this.#out.get(id) ?? tally.base;
    const then = this.#isForgotten ? (this.#outThen.get(id) ?? out) : last;
    const before = then > last ? then : last;
    (this.#isForgotten ? this.#outThen : this.#out).set(id, out);
    expectThat(
      out <= amount || out <= before,
      'lent',
      () => `${id}: ${out} is out of ${amount}, before it was ${before}`,
    );
    const over = counter.spec.endsAtMs !== null && counter.spec.endsAtMs <= this.#judge.nowMs();
    if (tally.rule.kind !== 'limit' || over) return;
    const expected = mostOf(tally, this.#judge.rules.version);
    expectThat(
      expected === null || expected === amount,
      'lent',
      () => `${id} has the amount ${amount} instead of ${expected}`,
    );
  }

  #checkPurse(tally: Tally, counters: MemoryCounter[]): void {
    let booked = 0n;
    for (const { spec, amount, settled, held, leased } of counters) {
      booked += settled;
      const out = settled + held + leased;
      expectThat(
        out <= amount + tally.bookedOverrun + tally.recharged || !this.#store.history.isLending,
        'lent',
        () => `${spec.id}: ${out} is out of ${amount}`,
      );
    }
    const out = counters.reduce((sum, { settled, held, leased }) => sum + settled + held + leased, 0n);
    if (this.#store.history.isLending)
      this.#checkCovered(`the credit of ${counters[0]!.spec.teamId}`, tally, out);
    expectThat(booked === tally.booked, 'counters', () => {
      return `the grants of ${counters[0]!.spec.teamId} have settled ${booked}, their events are ${tally.booked}`;
    });
  }

  /** Postgres counts what calls hold and what they came to, but for what they cost beyond their holds until it has their events. */
  #checkCovered(name: string, { exposed, base, overrun, bookedOverrun }: Tally, out: bigint): void {
    const due = exposed + base - (overrun - bookedOverrun);
    expectThat(this.#isForgotten || out >= due, 'covered', () => `${name}: ${out} is out, and ${due} is due`);
  }

  /** What a call holds for longer than a minute moves from the lease to Postgres. */
  #noteLongCalls(owner: Owner, ledger: Ledger): void {
    // Postgres may have persisted a hold and booked its event while the reply is on its way, or lost.
    if (owner.unbooked === 0 && ledger.flusher.backlog.length === 0) owner.hasLongCalls = false;
    const sinceMs = this.#judge.nowMs() - DURABLE_AFTER_MS;
    for (const { atMs } of owner.open) if (atMs < sinceMs) owner.hasLongCalls = true;
  }

  #checkLedger(owner: Owner, ledger: Ledger): void {
    this.#noteLongCalls(owner, ledger);
    if (owner.isBehind) return;
    const credits = new Map<Tally, bigint>();
    for (const { spec, granted, returned, settled, held, free } of ledger.leases.all()) {
      const sums = () =>
        `${spec.id}: granted ${granted}, returned ${returned}, settled ${settled}, held ${held}, free ${free}`;
      expectThat(granted === returned + settled + held + free, 'leases', sums);
      expectThat(returned >= 0n && settled >= 0n && held >= 0n && free >= 0n, 'leases', sums);
      const lease = this.#store.leases.get(`${owner.id} ${spec.id}`);
      const inStore = lease?.granted ?? 0n;
      // Who was adopted may not know it yet: its leases are gone, and it lives on what it has.
      if (owner.state === 'alive') {
        expectThat(granted <= inStore, 'leases', () => `${sums()}, and Postgres granted ${inStore}`);
        expectThat(
          lease === undefined || lease.returned <= returned,
          'leases',
          () => `${sums()}, and Postgres has ${lease?.returned}`,
        );
      }
      const tally = tallyOf(this.#judge, { spec });
      if (tally.rule.kind === 'credit') credits.set(tally, (credits.get(tally) ?? 0n) + held);
      else checkHeld(owner, tally, held);
    }
    for (const [tally, held] of credits) checkHeld(owner, tally, held);
  }
}

/** What an instance holds under a rule is what its calls in flight hold. */
function checkHeld(owner: Owner, tally: Tally, held: bigint): void {
  if (owner.state === 'ended' || owner.hasLongCalls) return;
  for (const { atMs } of owner.open) if (atMs <= owner.putBackMs) return;
  const { surely, perhaps } = owner.inFlight.get(tally) ?? { surely: 0n, perhaps: 0n };
  expectThat(held >= surely && held <= surely + perhaps, 'once', () => {
    const name = tally.rule.kind === 'limit' ? tally.rule.limit.id : tally.rule.teamId;
    return `${owner.id} holds ${held} of ${name} (${tally.window}), and its calls in flight ${surely} to ${surely + perhaps}`;
  });
}

/** The tally of a counter, whose window must be that of the rule. */
export function tallyOf(judge: Judge, { spec }: Pick<MemoryCounter, 'spec'>): Tally {
  let tally = judge.tallyOfCounter.get(spec.id);
  if (!tally) {
    tally = findTally(judge, { spec });
    judge.tallyOfCounter.set(spec.id, tally);
  }
  return tally;
}

function findTally(judge: Judge, { spec }: Pick<MemoryCounter, 'spec'>): Tally {
  const { rules } = judge;
  if (spec.source === 'grant') return rules.whole(rules.credits.get(spec.teamId)!);
  const raised = rules.raises.get(spec.sourceId);
  const rule = raised?.rule ?? rules.limits.get(spec.sourceId)!;
  const { subject } = rule.limit;
  const isEach = subject.type === 'tag' && subject.value === null;
  const value = isEach ? spec.subjectId.slice(subject.name.length + 1) : '';
  const isRight = raised
    ? spec.startsAtMs === raised.raise.startsAtMs && spec.endsAtMs === raised.raise.untilMs
    : isWindow(rule, spec.startsAtMs, spec.endsAtMs);
  expectThat(
    isRight,
    'moment',
    () => `${spec.id} does not begin and end where its window does (until ${spec.endsAtMs})`,
  );
  return raised ? rules.raiseTally(rule, raised.raise, value) : rules.tallyFrom(rule, spec.startsAtMs, value);
}

/** Whether a window begins at one moment, or was reset there, and ends at the other, or was reset there. */
function isWindow(rule: LimitRule, startsAtMs: number, endsAtMs: number | null): boolean {
  const { window } = rule.limit;
  const isStart = isReset(rule, startsAtMs);
  if (endsAtMs !== null && isReset(rule, endsAtMs)) return isStart || startsIn(window, startsAtMs);
  if (window.type === 'lifetime') return endsAtMs === null && (isStart || startsAtMs === 0);
  if (endsAtMs === null || windowName(window, startsAtMs) !== windowName(window, endsAtMs - 1)) return false;
  return startsIn(window, endsAtMs) && (isStart || startsIn(window, startsAtMs));
}

/** Whether a window of the calendar begins at a moment; one without an end begins with time itself. */
function startsIn(window: Window, atMs: number): boolean {
  return window.type === 'lifetime' ? atMs === 0 : windowName(window, atMs) !== windowName(window, atMs - 1);
}

/** The event of a call is as its process reported it; without a report it is charged at its hold. */
function bookCall(call: CallRecord, event: FlushEvent): void {
  const { outcome } = JSON.parse(event.json.toString()) as { outcome: CallReport['outcome'] };
  const unknown: CallReport = { outcome: 'unknown', amounts: call.hold };
  const candidates = call.reported
    ? [call.reported]
    : call.perhapsReported
      ? [call.perhapsReported, unknown]
      : [unknown];
  const report = candidates.find(
    (each) => each.outcome === outcome && each.amounts.cost === event.claim.cost,
  );
  expectThat(report !== undefined, 'events', () => {
    const due = candidates.map((each) => `${each.outcome} at ${each.amounts.cost}`).join(' or ');
    return `${event.id} is in the ledger as ${outcome} at ${event.claim.cost} instead of ${due}`;
  });
  expectThat(!call.booked, 'once', () => `${event.id} is in the ledger twice`);
  call.booked = true;
  if (call.bill) call.owner.unbooked--;
  settleLate(call, report!);
  addBooked(call, report!, 1n);
}

function addBooked(call: CallRecord, report: CallReport, sign: 1n | -1n): void {
  for (const count of call.counts) {
    const { tally, surely } = count;
    const cost = countedOf(count, report.amounts);
    const held = countedOf(count, call.hold);
    tally.booked += sign * cost;
    if (cost > held) tally.bookedOverrun += sign * (cost - held);
    if (!surely) tally.loose += sign * cost;
  }
}

/** The event of a call was forgotten; what its process had not reported is open once more. */
function unbookCall(call: CallRecord): void {
  addBooked(call, call.reported!, -1n);
  call.booked = false;
  if (call.bill) call.owner.unbooked++;
  if (!call.settledLate) return;
  addSettled(call, call.reported!, -1n);
  call.reported = null;
  call.settledLate = false;
  call.owner.open.add(call);
}

/** Ends a call that its process did not report, with the report of its event. */
function settleLate(call: CallRecord, report: CallReport): void {
  if (call.reported) return;
  call.reported = report;
  call.settledLate = true;
  call.owner.open.delete(call);
  addSettled(call, report, 1n);
}

function addSettled(call: CallRecord, report: CallReport, sign: 1n | -1n): void {
  for (const count of call.counts) {
    const { tally } = count;
    const held = countedOf(count, call.hold);
    const cost = countedOf(count, report.amounts);
    if (count.surely) tally.exposed += sign * (cost - held);
    if (cost > held) tally.overrun += sign * (cost - held);
    tally.due += sign * (cost - countedOf(count, call.bill ?? NOTHING));
  }
}
