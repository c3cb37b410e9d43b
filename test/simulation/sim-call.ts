/** One call of a simulation, from its reservation to its end, and what the upstream bills for it. */

import { type Denial, leastClaim, type ReservationRequest } from '../../src/admission/decide.ts';
import type { Unavailable } from '../../src/admission/waiting.ts';
import type { Account } from '../../src/domain/budget.ts';
import { ApiError } from '../../src/domain/errors.ts';
import { asId, departmentsOf, type EventId, type KeyId, momentOfUuidV7 } from '../../src/domain/ids.ts';
import type { Pass } from '../../src/gateway/breaker.ts';
import type { Hold, Outcome, Queued, QueueOutcome } from '../../src/ledger/events.ts';
import { factsOf, settledOutcome } from '../support/events.ts';
import type { Random } from '../support/random.ts';
import type { FakeTime } from './fake-time.ts';
import { type Amounts, NOTHING } from './judge/amounts.ts';
import { type CallRecord, type CallReport, type HeldPart, knownVersionOf } from './judge/calls.ts';
import { checkInsufficient } from './judge/denials.ts';
import { expectThat as must } from './judge/expectations.ts';
import type { Judge } from './judge/judge.ts';
import { heldBack, letThrough } from './judge/unknown.ts';
import type { SimInstance } from './sim-instance.ts';

const NO_BODY = Buffer.alloc(0);
const QUEUE_TIMEOUT_MS = 10_000;
/** The wait, one last word from Postgres and its own patience, and what a step of the simulation is long. */
const ANSWER_WITHIN_MS = QUEUE_TIMEOUT_MS + 2300;
/** An instance that has been well for this long has no reason to be unavailable. */
const RECOVERED_MS = 5000;

/** How often something happens to a call, and how long the upstream takes. */
const LEAVES_QUEUE = 0.1;
const LEAVES_AT_HOLD = 0.02;
const CRASHES = 0.0015;
const UPSTREAM_MS = [20, 20, 200, 200, 1000, 1000, 1000, 6000];
const LONG_CALL = 0.003;
const LONG_CALL_MS = 70_000;

export interface CallFigures {
  asked: number;
  forwarded: number;
  waited: number;
  left: number;
  /** Calls that may not go beside another one. */
  turnedAway: number;
  denied: Record<Denial['reason'] | 'unavailable', number>;
}

export interface SimCallsOptions {
  time: FakeTime;
  random: Random;
  judge: Judge;
  /** Takes in what came into the ledger in this very step. */
  takeEvents(): void;
  /** A call threw: a broken rule, or a fault of ours. */
  onError(error: unknown): void;
}

export class SimCalls {
  readonly figures: CallFigures = {
    asked: 0,
    forwarded: 0,
    waited: 0,
    left: 0,
    turnedAway: 0,
    denied: {
      insufficient: 0,
      held: 0,
      rate_limit: 0,
      too_large: 0,
      too_many_users: 0,
      unavailable: 0,
    },
  };
  /** Calls that are under way in a process that lives. */
  readonly running = new Map<SimInstance, number>();
  readonly #options: SimCallsOptions;
  /** When the ledger gave an answer, which a process that stands still takes up later. */
  readonly #answeredMs = new WeakMap<object, number>();

  constructor(options: SimCallsOptions) {
    this.#options = options;
  }

  /** Starts a call and lets it run. */
  start(instance: SimInstance, ask: ReservationRequest): void {
    this.figures.asked++;
    this.#count(instance, 1);
    this.#run(instance, ask).then(
      () => this.#count(instance, -1),
      (error) => this.#options.onError(error),
    );
  }

  #count(instance: SimInstance, change: number): void {
    this.running.set(instance, (this.running.get(instance) ?? 0) + change);
  }

  async #run(instance: SimInstance, ask: ReservationRequest): Promise<void> {
    const pass = this.#enter(instance, ask);
    if (pass === 'turned away') return;
    try {
      await this.#runPast(instance, ask);
    } finally {
      if (pass !== null) {
        instance.breaker?.leave(pass.real);
        if (pass.isAlone) instance.owner.alone.delete(pass.real.teamId);
      }
    }
  }

  /** Where too much money is of unknown outcome calls go one at a time. Null: nothing is. */
  #enter(
    { owner, breaker, clock, accounts, ledger }: SimInstance,
    { account, kind }: ReservationRequest,
  ): { real: Pass; isAlone: boolean } | null | 'turned away' {
    if (breaker === null) return null;
    const { judge } = this.#options;
    const { teamId, keyId } = account.principal;
    const present = accounts.get(keyId)!;
    const departments = departmentsOf(present.departments);
    const facts = { id: '', teamId, keyId, ...kind, departments, atMs: judge.nowMs() };
    const real = breaker.enter(present, kind, clock.nowMs(), NO_BODY);
    if (real instanceof ApiError) {
      this.figures.turnedAway++;
      heldBack(judge, owner, facts);
      return 'turned away';
    }
    // Before its first contact it knows no time, and admits nothing.
    const isAlone = ledger.blocked === null && letThrough(judge, owner, facts);
    return { real, isAlone };
  }

  async #runPast(instance: SimInstance, ask: ReservationRequest): Promise<void> {
    const { judge, random } = this.#options;
    const reserved = await this.#reserve(instance, ask);
    if (reserved === null || !instance.alive) return;
    const { hold, account } = reserved;
    const { teamId, keyId } = ask.account.principal;
    const { model, endUser, tags = null } = ask.kind;
    const facts = {
      id: hold.id,
      teamId,
      keyId,
      model,
      endUser,
      tags,
      departments: departmentsOf(account.departments),
      atMs: momentOfUuidV7(hold.id),
    };
    const call = judge.admitted(instance.owner, facts, hold.claim, partsOf(hold));
    if (random.chance(LEAVES_AT_HOLD)) {
      instance.ledger.cancel(hold);
      judge.cancelled(call);
      return;
    }
    const { departments } = account;
    const callFacts = factsOf(teamId, keyId, { model, endUser, tags, departments });
    const written = await new Promise<boolean>((resolve) => instance.ledger.begin(hold, callFacts, resolve));
    await instance.running();
    if (!written) {
      // The store went back since.
      instance.ledger.cancel(hold);
      judge.cancelled(call);
      return;
    }
    this.figures.forwarded++;
    await this.#forward(instance, hold, call);
  }

  /** Returns the hold and the account of which it was taken; null: there is none. */
  async #reserve(
    instance: SimInstance,
    ask: ReservationRequest,
  ): Promise<{ hold: Hold; account: Account } | null> {
    const { judge } = this.#options;
    const atMs = judge.nowMs();
    const knownVersion = knownVersionOf(instance.owner);
    let answer: QueueOutcome | 'left';
    let { account } = ask;
    // Like the gateway: when the rules changed meanwhile, it asks again with the present account.
    do {
      const { keyId } = ask.account.principal;
      const waitedMs = judge.nowMs() - atMs;
      account = instance.accounts.get(keyId)!;
      const tallies = judge.rules.talliesOf({
        ...account.principal,
        ...ask.kind,
        departments: departmentsOf(account.departments),
        atMs: judge.nowMs(),
      });
      judge.used(instance.owner, tallies);
      const now = { ...ask, account, waitedMs };
      const asked = instance.ledger.reserve(now);
      answer = asked.kind === 'queued' ? await this.#wait(instance, ask, asked, tallies) : asked;
    } while (answer !== 'left' && answer.kind === 'changed');
    if (answer === 'left') {
      this.figures.left++;
      return null;
    }
    if (answer.kind === 'hold') return { hold: answer, account };
    this.figures.denied[answer.kind === 'denial' ? answer.reason : answer.kind]++;
    this.#checkDenial(instance, { ...ask, account }, answer, { atMs, knownVersion });
    return null;
  }

  async #wait(
    instance: SimInstance,
    ask: ReservationRequest,
    asked: Queued,
    tallies: CallRecord['counts'][number]['tally'][],
  ): Promise<QueueOutcome | 'left'> {
    const { judge, random, time } = this.#options;
    this.figures.waited++;
    const sinceMs = judge.nowMs();
    const waiting = { owner: instance.owner, sinceMs, tallies, smallest: leastClaim(ask) };
    judge.waiting.add(waiting);
    let answer: QueueOutcome | 'left';
    const answered = new Promise<QueueOutcome>((resolve) => {
      asked.onOutcome = (outcome) => {
        this.#answeredMs.set(outcome, judge.nowMs());
        resolve(outcome);
      };
    });
    if (random.chance(LEAVES_QUEUE)) {
      const left = time.sleep(random.between(0, 3000)).then(() => 'left' as const);
      answer = await Promise.race([answered, left]);
      await instance.running();
      if (answer === 'left') asked.leave();
    } else {
      answer = await answered;
    }
    judge.waiting.delete(waiting);
    judge.used(instance.owner, tallies);
    return answer;
  }

  /** The upstream bills what it served, whether or not anybody is there to hear of it. */
  async #forward(instance: SimInstance, hold: Hold, call: CallRecord): Promise<void> {
    const { judge, random, time } = this.#options;
    const { bill, report } = this.#ending(call.hold);
    judge.forwarded(call, bill);
    // In the very turn in which it was forwarded: its hold must be in the journal by now.
    if (random.chance(CRASHES) && !instance.stopping) {
      instance.kill();
      return;
    }
    await time.sleep(random.chance(LONG_CALL) ? LONG_CALL_MS : random.pick(UPSTREAM_MS));
    await instance.running();
    if (hold.ended || !instance.alive) return;
    if (report.outcome === 'unknown') instance.ledger.endUnknown(hold, 'upstream_timeout');
    else instance.ledger.end(hold, outcomeOf(report));
    const crashes = random.chance(CRASHES) && !instance.stopping;
    if (!crashes) inform(instance, call, report);
    judge.reported(call, report, !crashes);
    if (crashes) instance.kill();
  }

  /** What the upstream bills, and what the process will make of it. */
  #ending(held: Amounts): { bill: Amounts; report: CallReport } {
    const { random } = this.#options;
    const percent = (share: number): Amounts => ({
      cost: (held.cost * BigInt(share)) / 100n,
      input_tokens: held.input_tokens,
      output_tokens: Math.floor((held.output_tokens * share) / 100),
    });
    const served = percent(random.pick([100, 100, 70, 30, 5]));
    const what = random.fraction();
    if (what < 0.08) return { bill: NOTHING, report: { outcome: 'voided', amounts: NOTHING } };
    // A stream that was cut, or an answer that never came: nobody knows what was served.
    if (what < 0.14) return { bill: served, report: { outcome: 'unknown', amounts: held } };
    // The client left, and the rest of the answer could not be read: charged in full, though less was served.
    if (what < 0.2) return { bill: served, report: { outcome: 'settled', amounts: held } };
    if (what < 0.21) return overrun(percent(random.between(101, 150)));
    return { bill: served, report: { outcome: 'settled', amounts: served } };
  }

  #checkDenial(
    instance: SimInstance,
    ask: ReservationRequest,
    denial: Denial | Unavailable,
    came: { atMs: number; knownVersion: number },
  ): void {
    const { judge } = this.#options;
    const nowMs = this.#answeredMs.get(denial) ?? judge.nowMs();
    const { owner } = instance;
    const waitedMs = nowMs - came.atMs;
    const why = denial.kind === 'denial' ? denial.reason : denial.kind;
    if (why === 'insufficient') {
      this.#options.takeEvents();
      const { teamId, keyId } = ask.account.principal;
      const facts = {
        teamId,
        keyId,
        ...ask.kind,
        departments: departmentsOf(ask.account.departments),
        atMs: nowMs,
        smallest: leastClaim(ask),
        knownVersion: came.knownVersion,
      };
      checkInsufficient(judge, facts, owner.clockErrorMs);
    } else if (why === 'held') {
      must(waitedMs >= QUEUE_TIMEOUT_MS, 'admitting', () => `refused for held money after ${waitedMs} ms`);
    } else {
      const wellMs = came.atMs - owner.fineSinceMs;
      must(wellMs < RECOVERED_MS || owner.state !== 'alive', 'admitting', () => {
        return `${owner.id} has been well for ${wellMs} ms, and is unavailable: ${instance.ledger.blocked}`;
      });
    }
    const well = owner.fineSinceMs < came.atMs;
    must(!well || waitedMs <= ANSWER_WITHIN_MS, 'admitting', () => `answered after ${waitedMs} ms`);
  }
}

/** What a hold takes of limits, as its process has it. */
function partsOf({ reservation: { pools, amounts } }: Hold): HeldPart[] {
  const parts: HeldPart[] = [];
  let at = 0;
  for (const { leases } of pools) {
    const held = amounts.slice(at, at + leases.length);
    at += leases.length;
    const [spec, ...raises] = leases.map((lease) => lease.spec);
    if (spec?.source !== 'limit') continue;
    parts.push({
      limitId: spec.sourceId,
      windowStartsMs: spec.startsAtMs,
      held: held[0]!,
      raises: raises.map(({ sourceId }, index) => ({ id: sourceId, held: held[index + 1]! })),
    });
  }
  return parts;
}

/** What happened to one call says nothing of the upstream here: of the breaker only what money may be unknown is looked at. */
function inform({ breaker }: SimInstance, call: CallRecord, { outcome, amounts }: CallReport): void {
  const { id, teamId, keyId, model, endUser, tags = null, atMs } = call;
  const unknown = {
    id: asId<EventId>(id),
    keyId: asId<KeyId>(keyId),
    model,
    endUser,
    tags,
    admittedMs: atMs,
    charged: amounts.cost,
  };
  breaker?.ended(asId(teamId), 'neither', null, outcome === 'unknown' ? unknown : null);
}

/** Returns the outcome that a process reports to its ledger. */
function outcomeOf({ outcome, amounts }: CallReport): Outcome {
  const { cost, input_tokens, output_tokens } = amounts;
  const parts = { cached_input_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0 };
  const usage = outcome === 'voided' ? null : { input_tokens, output_tokens, ...parts };
  return settledOutcome(cost, { outcome, usage });
}

function overrun(bill: Amounts): { bill: Amounts; report: CallReport } {
  return { bill, report: { outcome: 'settled', amounts: bill } };
}
