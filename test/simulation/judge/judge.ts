/**
 * The judge: records every call from the outside (what its process requested and reported, what the upstream billed)
 * and every rule as the administrator made it, and checks what must be true. Owns: the life of calls and the bound on
 * them. Does not own: what the store and the ledgers say of it (books.ts).
 */
import { type Amounts, measure, NOTHING } from './amounts.ts';
import {
  bindingVersionOf,
  type CallFacts,
  type CallRecord,
  type CallReport,
  type Count,
  DURABLE_AFTER_MS,
  type HeldPart,
  knownVersionOf,
  type Owner,
} from './calls.ts';
import { expectThat } from './expectations.ts';
import { isOn, RuleBook, tagValueOf } from './rulebook.ts';
import { type CreditRule, type LimitRule, mostAllowed, mostOf, perhapsFunds, type Tally } from './tally.ts';

/** A call that was admitted, and what its process says of it. */
interface Admitted {
  owner: Owner;
  facts: CallFacts;
  obeys: number;
  parts: readonly HeldPart[];
  held: Amounts;
}

/** A call in a queue, and what it lacks. */
export interface Waiting {
  owner: Owner;
  sinceMs: number;
  tallies: Tally[];
  smallest: Amounts;
}

/** How far an instance's clock may be from Postgres's, on a network that takes as long there as back. */
const CLOCK_ERROR_MS = 2;

export class Judge {
  readonly rules = new RuleBook();
  readonly owners = new Map<string, Owner>();
  readonly calls = new Map<string, CallRecord>();
  readonly nowMs: () => number;
  /** By the counter's id, once its window was found right. */
  readonly tallyOfCounter = new Map<string, Tally>();
  /** Calls that a process reported as of unknown outcome, or of which it did not report any. */
  readonly unknown = new Set<CallRecord>();
  /** Calls that wait in a queue. */
  readonly waiting = new Set<Waiting>();

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  addLimit(limit: LimitRule['limit']): void {
    const rule = this.rules.addLimit(limit);
    this.rules.countBackwards(rule, this.calls.values());
    for (const { open, inFlight } of this.owners.values()) {
      for (const call of open) {
        for (const { tally } of call.counts)
          if (tally.rule === rule) changeInFlight(inFlight, tally, false, amountOf(tally, call.hold));
      }
    }
  }

  started(id: string): Owner {
    const owner: Owner = {
      id,
      state: 'alive',
      wasAdopted: false,
      knownVersions: [],
      open: new Set(),
      unbooked: 0,
      hasLongCalls: false,
      isBehind: false,
      putBackMs: Number.NEGATIVE_INFINITY,
      clockErrorMs: 0,
      fineSinceMs: this.nowMs(),
      heardMs: this.nowMs(),
      inFlight: new Map(),
      alone: new Set(),
      readUnknown: new Map(),
      lastUsedMs: new Map(),
    };
    this.owners.set(id, owner);
    return owner;
  }

  /** A process received the rules of a version. */
  received(owner: Owner, version: number): void {
    if (version > knownVersionOf(owner)) owner.knownVersions.push({ version, atMs: this.nowMs() });
  }

  /** A process handles a call that these rules count. */
  used(owner: Owner, tallies: Iterable<Tally>): void {
    for (const tally of tallies) owner.lastUsedMs.set(tally.rule, this.nowMs());
  }

  /** A process has reserved this much for a call; `parts`: of limits, as it says. */
  admitted(owner: Owner, facts: CallFacts, held: Amounts, parts: readonly HeldPart[]): CallRecord {
    const nowMs = this.nowMs();
    expectThat(owner.state === 'alive', 'adoption', () => `${owner.id} admitted a call after it was adopted`);
    expectThat(!this.calls.has(facts.id), 'once', () => `${facts.id} was given to two calls`);
    // Two beats later, of which the first may have been under way before, its clock is right again.
    if (nowMs - owner.fineSinceMs > 8000) owner.clockErrorMs = 0;
    expectThat(Math.abs(facts.atMs - nowMs) <= CLOCK_ERROR_MS + owner.clockErrorMs, 'moment', () => {
      return `admitted at ${new Date(nowMs).toISOString()} as of ${new Date(facts.atMs).toISOString()}`;
    });
    const obeys = bindingVersionOf(owner, nowMs);
    const tallies = this.rules.talliesOf(facts);
    const funded = tallies.some((tally) => perhapsFunds(tally, obeys));
    expectThat(funded, 'bound', () => `a call of ${facts.keyId}, which has no budget, was admitted`);
    const paths = this.rules.pathsSince(facts.teamId, obeys).map(String);
    expectThat(paths.includes(String(facts.departments)), 'place', () => {
      return `a call of ${facts.keyId} counts in ${facts.departments}, and its team is in ${paths.join(' or ')}`;
    });
    const counts = tallies.flatMap((tally) => this.#countsOf(tally, { owner, facts, obeys, parts, held }));
    const call: CallRecord = {
      ...facts,
      owner,
      hold: held,
      bill: null,
      reported: null,
      perhapsReported: null,
      booked: false,
      settledLate: false,
      uncorrected: null,
      reportedMs: nowMs,
      correctedMs: Number.NEGATIVE_INFINITY,
      cancelled: false,
      counts,
    };
    this.calls.set(facts.id, call);
    owner.open.add(call);
    this.#addInFlight(call, 1n);
    for (const count of counts) {
      if (count.surely) count.tally.exposed += countedOf(count, held);
    }
    this.used(owner, tallies);
    for (const count of counts)
      if (count.surely && countedOf(count, held) > 0n) this.#checkBound(count.tally, obeys, call);
    return call;
  }

  /** Its client left before it was forwarded: its hold was returned. */
  cancelled(call: CallRecord): void {
    call.cancelled = true;
    this.#removeInFlight(call);
    for (const count of call.counts) if (count.surely) count.tally.exposed -= countedOf(count, call.hold);
  }

  forwarded(call: CallRecord, bill: Amounts): void {
    call.bill = bill;
    call.owner.unbooked++;
    for (const count of call.counts) count.tally.due += countedOf(count, bill);
  }

  /** A process reports how its call ended, and its cost. `written`: the report is in its journal. */
  reported(call: CallRecord, report: CallReport, written = true): void {
    if (call.owner.state === 'ended') {
      // Its journal may be read once more, if the store forgets that it was.
      call.perhapsReported = report;
      return;
    }
    if (!written) {
      call.perhapsReported = report;
      return;
    }
    call.reported = report;
    call.reportedMs = this.nowMs();
    if (report.outcome === 'unknown') this.unknown.add(call);
    // A process that stood still may persist the hold of a call and end it before anything looks.
    if (this.nowMs() - call.atMs > DURABLE_AFTER_MS) call.owner.hasLongCalls = true;
    this.#removeInFlight(call);
    for (const count of call.counts) {
      const { tally } = count;
      const held = countedOf(count, call.hold);
      const cost = countedOf(count, report.amounts);
      if (count.surely) tally.exposed += cost - held;
      if (cost > held) tally.overrun += cost - held;
      tally.due += cost - countedOf(count, call.bill!);
    }
  }

  /** There was no evidence for so long: by policy the call is charged nothing, whatever the upstream billed. */
  released(call: CallRecord, afterMs: number): void {
    const ageMs = this.nowMs() - call.atMs;
    expectThat(ageMs > afterMs, 'policy', () => `${call.id} was released ${ageMs} ms after it began`);
    expectThat(
      call.uncorrected === null,
      'policy',
      () => `${call.id} was released although there was evidence`,
    );
    this.corrected(call, 0n);
  }

  /** An administrator has evidence of what the upstream billed. */
  corrected(call: CallRecord, cost = call.bill!.cost): void {
    call.uncorrected = call.reported;
    call.correctedMs = this.nowMs();
    // A call that was not billed used no tokens; of another the evidence is about money alone.
    const amounts = cost === 0n ? NOTHING : { ...call.reported!.amounts, cost };
    addCorrection(call, amounts, 1n);
    call.reported = { outcome: 'unknown', amounts };
  }

  /** The store has forgotten that. */
  correctionForgotten(call: CallRecord): void {
    const { amounts } = call.reported!;
    call.reported = call.uncorrected;
    call.uncorrected = null;
    addCorrection(call, amounts, -1n);
  }

  killed(owner: Owner): void {
    owner.state = 'dead';
  }

  /** Its journal was adopted: nobody will learn more of what it did not tell. */
  adopted(owner: Owner): void {
    owner.state = 'ended';
    owner.wasAdopted = true;
  }

  #addInFlight(call: CallRecord, sign: 1n | -1n): void {
    for (const count of call.counts) {
      changeInFlight(call.owner.inFlight, count.tally, count.surely, sign * countedOf(count, call.hold));
    }
  }

  #removeInFlight(call: CallRecord): void {
    call.owner.open.delete(call);
    this.#addInFlight(call, -1n);
    this.used(
      call.owner,
      call.counts.map(({ tally }) => tally),
    );
  }

  /** In which window a rule counts a call, and which raises pay for it, is what its process says, if that may be. */
  #countsOf(tally: Tally, { owner, facts, obeys, parts, held }: Admitted): Count[] {
    const { rule } = tally;
    const surely = surelyBinds(tally, obeys);
    const part = rule.kind === 'limit' ? parts.find(({ limitId }) => limitId === rule.limit.id) : undefined;
    if (rule.kind === 'credit' || part === undefined) return [{ tally, surely }];
    const value = tagValueOf(rule, facts);
    const own = this.rules.tallyFrom(rule, part.windowStartsMs, value);
    expectThat(this.rules.talliesSince(rule, facts, obeys).has(own), 'moment', () => {
      return `a call of ${new Date(facts.atMs).toISOString()} is held on ${rule.limit.id} in ${own.window}`;
    });
    const all = [part.held, ...part.raises.map((each) => each.held)];
    const sum = all.reduce((total, each) => total + each, 0n);
    expectThat(sum === amountOf(own, held), 'raise', () => `${rule.limit.id} holds ${sum} of a call`);
    if (part.raises.length === 0) return [{ tally: own, surely }];
    const known = knownVersionOf(owner);
    const raised = part.raises.map(({ id }, at): Count => {
      const { raise } = this.rules.raises.get(id)!;
      const made = rule.raises.find((each) => each.raise === raise)?.version ?? Number.POSITIVE_INFINITY;
      expectThat(isOn(raise, facts.atMs) && made <= known, 'raise', () => {
        return `${id} pays for a call of ${new Date(facts.atMs).toISOString()}`;
      });
      const shared = { held: all, index: at + 1 };
      return { tally: this.rules.raiseTally(rule, raise, value), surely: true, shared };
    });
    return [{ tally: own, surely, shared: { held: all, index: 0 } }, ...raised];
  }

  #checkBound(tally: Tally, obeys: number, call: CallRecord): void {
    const { rule } = tally;
    if (rule.kind === 'credit') {
      this.#checkPurse(rule, call);
      return;
    }
    const most = mostOf(tally, obeys);
    if (most === null) return;
    const out = tally.exposed + tally.base;
    expectThat(out <= most + tally.overrun + tally.recharged, 'bound', () => {
      return `${rule.limit.id} (${tally.window}) has ${out} out of ${most}, with the call ${call.id}`;
    });
  }

  /** Whatever grants pay for which call: those of any stretch of time are paid by grants that were usable in it. */
  #checkPurse(credit: CreditRule, call: CallRecord): void {
    const stretches = this.rules.stretches(credit);
    const at = credit.bounds.findLastIndex((startMs) => startMs <= call.atMs);
    for (let first = at; first >= 0; first--) {
      let out = 0n;
      let overrun = 0n;
      for (let last = first; last < stretches.length; last++) {
        out += stretches[last]!.exposed;
        overrun += stretches[last]!.overrun + stretches[last]!.recharged;
        if (last < at) continue;
        const most = usableBetween(credit, credit.bounds[first]!, credit.bounds[last + 1] ?? null);
        expectThat(out <= most + overrun, 'bound', () => {
          return `the grants of ${credit.teamId} have ${out} out of ${most} in a stretch of ${last - first + 1}, with ${call.id}`;
        });
      }
    }
  }
}

/** What a call of unknown outcome counts for since its charge was corrected to these amounts. */
function addCorrection(call: CallRecord, corrected: Amounts, sign: 1n | -1n): void {
  for (const count of call.counts) {
    const { tally, surely, isBase = false } = count;
    const less = sign * (countedOf(count, call.hold) - countedOf(count, corrected));
    if (less * sign < 0n) {
      // It had cost more than it held.
      tally.overrun -= less;
      tally.bookedOverrun -= less;
    } else if (sign === -1n) tally.recharged -= less;
    tally.isCorrected = true;
    tally.booked -= less;
    tally.due -= less;
    if (surely) tally.exposed -= less;
    else if (isBase) tally.base -= less;
    else tally.loose -= less;
  }
}

function changeInFlight(inFlight: Owner['inFlight'], tally: Tally, surely: boolean, amount: bigint): void {
  const sums = inFlight.get(tally) ?? { surely: 0n, perhaps: 0n };
  sums[surely ? 'surely' : 'perhaps'] += amount;
  inFlight.set(tally, sums);
}

/** What all grants amount to that were usable at some moment from `fromMs` up to, not including, `untilMs`. */
function usableBetween({ grants }: CreditRule, fromMs: number, untilMs: number | null): bigint {
  let sum = 0n;
  for (const { grant } of grants) {
    const began = untilMs === null || grant.startsAtMs < untilMs;
    if (began && (grant.expiresAtMs === null || grant.expiresAtMs > fromMs)) sum += grant.amount;
  }
  return sum;
}

/** Returns whether a rule binds every process for which this version is binding: it was made, and not deleted since. */
function surelyBinds({ rule }: Pick<Tally, 'rule'>, version: number): boolean {
  if (rule.kind === 'credit') return true;
  return rule.terms[0]!.version <= version && mostAllowed(rule, version) !== null;
}

/** What a count is of these amounts of its call: where several pay in order, each up to what it holds, the last that holds any the rest. */
export function countedOf({ tally, shared }: Count, amounts: Amounts): bigint {
  const all = amountOf(tally, amounts);
  if (shared === undefined) return all;
  const last = shared.held.findLastIndex((held) => held > 0n);
  let rest = all;
  for (const [index, held] of shared.held.entries()) {
    const part = index === last || rest < held ? rest : held;
    if (index === shared.index) return index > last ? 0n : part;
    rest -= part;
  }
  return 0n;
}

export function amountOf({ rule }: Tally, amounts: Amounts): bigint {
  return rule.kind === 'limit' ? measure(rule.limit.meter, amounts) : amounts.cost;
}
