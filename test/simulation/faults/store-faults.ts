/** Faults in what Postgres does: the transactions of leases, flushes and adoption. */
import type { FlushBatch } from '../../../src/store/hot/flush.ts';
import type { LeaseReply, LeaseRequest } from '../../../src/store/hot/leases.ts';
import { MemoryStore } from '../memory-store.ts';
import { type Fault, Healthy, type Planted } from './fault.ts';

/** A store that calls back when its fault makes a difference. */
type StoreMaker = (nowMs: () => number, fire: () => void) => MemoryStore;

function inStore(name: string, what: string, make: StoreMaker): Fault {
  const plant = (): Planted => {
    const planted = new Healthy();
    planted.store = (nowMs) => make(nowMs, () => planted.fired++);
    return planted;
  };
  return { name, what, plant };
}

abstract class FaultyMemory extends MemoryStore {
  protected readonly fire: () => void;

  constructor(nowMs: () => number, fire: () => void) {
    super(nowMs);
    this.fire = fire;
  }
}

class DoubleFlush extends FaultyMemory {
  override async flush(batch: FlushBatch): Promise<Set<string>> {
    for (const { id } of batch.events) if (this.events.delete(id)) this.fire();
    return super.flush(batch);
  }
}

class HalfBatch extends FaultyMemory {
  #flushes = 0;

  override async flush(batch: FlushBatch): Promise<Set<string>> {
    // Every so often the events are written, and the connection ends before the counters are.
    if (batch.events.length < 2 || ++this.#flushes % 20 !== 0) return super.flush(batch);
    const kept = batch.events.slice(batch.events.length / 2);
    const written = await super.flush({ ...batch, events: batch.events.slice(0, batch.events.length / 2) });
    for (const event of kept) {
      if (this.events.has(event.id)) continue;
      this.events.set(event.id, event);
      this.fire();
    }
    return written;
  }
}

class LostEvent extends FaultyMemory {
  #flushes = 0;

  override async flush(batch: FlushBatch): Promise<Set<string>> {
    if (batch.events.length === 0 || ++this.#flushes % 50 !== 0) return super.flush(batch);
    this.fire();
    return super.flush({ ...batch, events: batch.events.slice(1) });
  }
}

class LeaseGrantedTwice extends FaultyMemory {
  #granted = 0;

  override async requestLease(request: LeaseRequest): Promise<LeaseReply> {
    const before = new Map([...this.counters].map(([id, { leased }]) => [id, leased]));
    const reply = await super.requestLease(request);
    for (const { id } of reply.counters) {
      const counter = this.counters.get(id)!;
      // What was just lent is not counted, so the next request gets it too.
      if (counter.leased <= (before.get(id) ?? 0n) || ++this.#granted % 30 !== 0) continue;
      counter.leased = before.get(id) ?? 0n;
      this.fire();
    }
    return reply;
  }
}

class BackOnExpiry extends FaultyMemory {
  readonly #nowMs: () => number;
  readonly #lastSeenMs = new Map<string, number>();

  constructor(nowMs: () => number, fire: () => void) {
    super(nowMs, fire);
    this.#nowMs = nowMs;
  }

  override async requestLease(request: LeaseRequest): Promise<LeaseReply> {
    this.#lastSeenMs.set(request.instanceId, this.#nowMs());
    for (const [key, lease] of this.leases) {
      const { instanceId, counterId, granted, returned, settled } = lease;
      const lastSeenMs = this.#lastSeenMs.get(instanceId) ?? this.#nowMs();
      if (this.#nowMs() - lastSeenMs < 10_000 || granted === returned + settled) continue;
      this.counters.get(counterId)!.leased -= granted - returned - settled;
      this.leases.delete(key);
      this.fire();
    }
    return super.requestLease(request);
  }
}

class UnfencedAdoption extends FaultyMemory {
  readonly #live = new Set<string>();

  override async fence(id: string) {
    if ((await this.silentMs(id)) !== null) this.#live.add(id);
    return super.fence(id);
  }

  override async adopt(...args: Parameters<MemoryStore['adopt']>) {
    const [id, , status = 'adopted'] = args;
    const inserted = await super.adopt(...args);
    if (this.#live.delete(id) && status === 'adopted') {
      this.fire();
      this.registerInstance(id);
    }
    return inserted;
  }
}

class ForgottenInFlight extends FaultyMemory {
  override async adopt(...[id, events, ...rest]: Parameters<MemoryStore['adopt']>) {
    const ended = events.filter(({ json }) => !json.includes('"reason":"crash"'));
    if (ended.length < events.length) this.fire();
    return super.adopt(id, ended, ...rest);
  }
}

class LeasesStayAtAdoption extends FaultyMemory {
  override async adopt(...args: Parameters<MemoryStore['adopt']>) {
    const [id, , status = 'adopted'] = args;
    const kept = [...this.leases].filter(([, { instanceId }]) => instanceId === id);
    const before = kept.map(([, { counterId }]) => this.counters.get(counterId)!.leased);
    const inserted = await super.adopt(...args);
    if (status === 'stopped') return inserted;
    for (const [index, [key, lease]] of kept.entries()) {
      this.leases.set(key, lease);
      const counter = this.counters.get(lease.counterId)!;
      if (counter.leased < before[index]!) this.fire();
      counter.leased += lease.granted - lease.returned - lease.settled;
    }
    return inserted;
  }
}

class NewLimitFromNothing extends FaultyMemory {
  override async requestLease(request: LeaseRequest): Promise<LeaseReply> {
    const known = new Set(this.counters.keys());
    const reply = await super.requestLease(request);
    for (const [id, counter] of this.counters) {
      if (known.has(id) || counter.settled === 0n) continue;
      counter.settled = 0n;
      this.fire();
    }
    return reply;
  }
}

export const STORE_FAULTS: Fault[] = [
  inStore(
    'back-on-expiry',
    'a lease comes back by itself when its owner was silent for ten seconds',
    (...args) => new BackOnExpiry(...args),
  ),
  inStore('double-flush', 'a batch that is sent again counts again', (...args) => new DoubleFlush(...args)),
  inStore(
    'half-batch',
    'a batch is applied in part: its events, and not what they move',
    (...args) => new HalfBatch(...args),
  ),
  inStore('lost-event', 'an event is confirmed, and not written', (...args) => new LostEvent(...args)),
  inStore(
    'lease-granted-twice',
    'what is lent to one instance is lent to the next as well',
    (...args) => new LeaseGrantedTwice(...args),
  ),
  inStore(
    'unfenced-adoption',
    'an instance goes on after its journal was adopted',
    (...args) => new UnfencedAdoption(...args),
  ),
  inStore(
    'in-flight-forgotten',
    'adoption drops the calls of which the journal has no end',
    (...args) => new ForgottenInFlight(...args),
  ),
  inStore(
    'leases-outlive-adoption',
    'adoption leaves the leases of dead instances',
    (...args) => new LeasesStayAtAdoption(...args),
  ),
  inStore(
    'limit-from-nothing',
    'a new limit does not count what its window has spent already',
    (...args) => new NewLimitFromNothing(...args),
  ),
];
