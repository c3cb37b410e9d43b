/** A real ledger with a real journal, on a clock and a store that the test commands. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ReservationRequest } from '../../src/admission/decide.ts';
import type { Account } from '../../src/domain/budget.ts';
import { usd } from '../../src/domain/money.ts';
import { keepLedger } from '../../src/jobs/keep-ledger.ts';
import { createClock, type Hold, type QueueOutcome } from '../../src/ledger/events.ts';
import { Journal, type JournalOptions } from '../../src/ledger/journal.ts';
import { Ledger, type LedgerOptions } from '../../src/ledger/ledger.ts';
import { FakeTime } from '../simulation/fake-time.ts';
import { FaultyStore } from '../simulation/faulty-store.ts';
import { checkLedger, checkStore } from '../simulation/invariants.ts';
import { MemoryStore } from '../simulation/memory-store.ts';
import { factsOf, settledOutcome } from './events.ts';
import { temporaryFolder } from './folder.ts';
import { deadHeader } from './journals.ts';

export const NOON = Date.UTC(2026, 10, 20, 12);

export interface TestLedgerOptions extends Partial<LedgerOptions> {
  /** Shared with other ledgers of the same test. */
  world?: World;
  /** Postgres's clock at the start. */
  startsAtMs?: number;
  journalOptions?: Partial<JournalOptions>;
}

export interface World {
  time: FakeTime;
  memory: MemoryStore;
  folder: string;
}

export async function createWorld(startsAtMs = NOON): Promise<World> {
  const time = new FakeTime();
  const memory = new MemoryStore(() => startsAtMs + time.monotonicMs());
  return { time, memory, folder: await temporaryFolder() };
}

/** A call as its caller sees it: null while it waits. */
export interface Call {
  result: QueueOutcome | null;
  leave(): void;
}

export class TestLedger {
  readonly time: FakeTime;
  readonly memory: MemoryStore;
  readonly store: FaultyStore;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly instanceId: string;
  readonly storeErrors: unknown[] = [];
  readonly unexpectedErrors: unknown[] = [];
  fenced = 0;

  constructor(world: World, options: TestLedgerOptions) {
    this.instanceId = options.instanceId ?? randomUUID();
    this.time = world.time;
    this.memory = world.memory;
    this.store = new FaultyStore(world.memory, world.time);
    const path = join(world.folder, `${this.instanceId}.log`);
    this.journal = new Journal({ path, header: deadHeader(this.instanceId), ...options.journalOptions });
    world.memory.registerInstance(this.instanceId);
    this.ledger = new Ledger({
      store: this.store,
      journal: this.journal,
      clock: createClock(world.time.monotonicMs),
      timers: world.time,
      jitter: () => 0,
      queueTimeoutMs: 10_000,
      onFenced: () => this.fenced++,
      onStoreError: (error) => this.storeErrors.push(error),
      onUnexpectedError: (error) => this.unexpectedErrors.push(error),
      ...options,
      instanceId: this.instanceId,
    });
    keepLedger(this.ledger, world.time);
  }

  reserve(request: ReservationRequest): Call {
    const call: Call = { result: null, leave: () => {} };
    this.#reserve(call, request);
    return call;
  }

  /** Like the gateway: a call whose rules changed while it waited asks again. */
  #reserve(call: Call, request: ReservationRequest): void {
    const reserved = this.ledger.reserve(request);
    if (reserved.kind !== 'queued') {
      call.result = reserved;
      return;
    }
    call.leave = () => reserved.leave();
    reserved.onOutcome = (outcome) => {
      if (outcome.kind === 'changed') this.#reserve(call, request);
      else call.result = outcome;
    };
  }

  /** A call that costs at most this many USD. */
  ask(account: Account, cost: string): Call {
    return this.reserve(fixedRequest(account, usd(cost)));
  }

  /** Reserves, and waits until the money is there. */
  async take(account: Account, cost: string): Promise<Hold> {
    const call = this.ask(account, cost);
    for (let waited = 0; call.result === null && waited < 20_000; waited += 10) await this.time.advance(10);
    return holdOf(call);
  }

  async begin(hold: Hold, keyId = 'key-1'): Promise<Hold> {
    if (!(await beginHold(this.ledger, hold, keyId))) throw new Error('the journal is broken');
    return hold;
  }

  /** Takes, journals and settles a call. */
  async spend(account: Account, hold: string, cost: string = hold): Promise<void> {
    this.end(await this.begin(await this.take(account, hold)), cost);
  }

  end(hold: Hold, cost: string): void {
    this.ledger.end(hold, settledOutcome(usd(cost)));
  }

  /** Advances the clock in small steps, and checks the books after each. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.time.advance(Math.min(50, left));
      checkLedger(this.ledger);
      checkStore(this.memory);
    }
  }

  /** Free money here, over all leases. */
  get free(): bigint {
    return [...this.ledger.leases.all()].reduce((sum, lease) => sum + lease.free, 0n);
  }
}

/** A ledger that has heard from its store. */
export async function startLedger(options: TestLedgerOptions = {}): Promise<TestLedger> {
  const test = new TestLedger(options.world ?? (await createWorld(options.startsAtMs)), options);
  const heartbeat = test.ledger.sendHeartbeat();
  await test.time.advance(10);
  await heartbeat;
  return test;
}

/** Journals a hold. Returns whether it was written. */
export function beginHold(ledger: Ledger, hold: Hold, keyId = 'key-1'): Promise<boolean> {
  return new Promise((resolve) => ledger.begin(hold, factsOf(hold.teamId, keyId), resolve));
}

/** What an ordinary call asks for that costs at most this much. */
export function fixedRequest(
  account: Account,
  cost: bigint,
  changes: Partial<ReservationRequest> = {},
): ReservationRequest {
  return {
    account,
    kind: { model: 'gpt-4o', endUser: null },
    isFree: false,
    size: { type: 'fixed', claim: { cost, input_tokens: 10, output_tokens: 20 } },
    waitedMs: 0,
    bytes: 100,
    ...changes,
  };
}

export function holdOf(call: Call): Hold {
  if (call.result?.kind !== 'hold') throw new Error(`no hold: ${call.result?.kind}`);
  return call.result;
}
