/**
 * The ledger's store in memory, with exactly Postgres' semantics (stores.test.ts holds the two equal). Every method does
 * its work in one synchronous step, as a transaction would.
 */
import { type CounterState, grantAllOrNone } from '../../src/domain/admission.ts';
import { type CounterSpec, limitCounts } from '../../src/domain/budget.ts';
import type { LedgerStore } from '../../src/ledger/store.ts';
import type { FlushBatch, FlushEvent } from '../../src/store/flush.ts';
import { InstanceFenced, type Pulse } from '../../src/store/instances.ts';
import type { LeaseReply, LeaseRequest } from '../../src/store/leases.ts';

export interface MemoryCounter extends CounterState {
  spec: CounterSpec;
}

export interface MemoryLease {
  counterId: string;
  instanceId: string;
  granted: bigint;
  returned: bigint;
  settled: bigint;
  held: bigint;
}

const ALIVE_MS = 10_000;
const NO_LEASE = { granted: 0n, returned: 0n, settled: 0n, held: 0n };
const min = (a: bigint, b: bigint) => (a < b ? a : b);

export class MemoryStore implements LedgerStore {
  readonly #nowMs: () => number;
  readonly #amounts = new Map<string, bigint>();
  readonly #instances = new Map<string, { status: 'live' | 'stopped' | 'adopted'; heartbeatMs: number }>();
  readonly counters = new Map<string, MemoryCounter>();
  readonly leases = new Map<string, MemoryLease>();
  readonly events = new Map<string, FlushEvent>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Makes or changes a limit or grant, as an admin does it: its open counters change with it. */
  setAmount(sourceId: string, amount: bigint): void {
    this.#amounts.set(sourceId, amount);
    for (const counter of this.counters.values()) {
      const { endsAtMs } = counter.spec;
      const open = endsAtMs === null || endsAtMs > this.#nowMs();
      if (counter.spec.sourceId === sourceId && open) counter.amount = amount;
    }
  }

  registerInstance(id: string): void {
    this.#instances.set(id, { status: 'live', heartbeatMs: this.#nowMs() });
  }

  async heartbeat(instanceId: string): Promise<Pulse> {
    this.#assertLive(instanceId);
    const nowMs = this.#nowMs();
    this.#instances.get(instanceId)!.heartbeatMs = nowMs;
    const heard = [...this.#instances.values()].filter(
      (each) => each.status === 'live' && each.heartbeatMs > nowMs - ALIVE_MS,
    );
    return { nowMs, instances: heard.length };
  }

  async silentMs(instanceId: string): Promise<number | null> {
    const instance = this.#instances.get(instanceId);
    return instance?.status === 'live' ? this.#nowMs() - instance.heartbeatMs : null;
  }

  async requestLease({ instanceId, pools }: LeaseRequest): Promise<LeaseReply> {
    this.#assertLive(instanceId);
    const specs = pools.flatMap((pool) => pool.counters);
    for (const spec of specs) this.#create(spec);
    const needs = pools.map(({ counters, ...need }) => ({
      counterIds: counters.map(({ id }) => id),
      ...need,
    }));
    const states = new Map(specs.map(({ id }) => [id, this.counters.get(id)!]));
    const { met, grants } = grantAllOrNone(needs, states);
    for (const [id, amount] of grants) {
      const lease = this.#lease(id, instanceId);
      this.leases.set(`${instanceId} ${id}`, { ...lease, granted: lease.granted + amount });
      states.get(id)!.leased += amount;
    }
    const counters = [...states].map(([id, { amount, settled, held, leased }]) => {
      const { counterId: _, instanceId: __, held: ___, ...lease } = this.#lease(id, instanceId);
      return { id, amount, settled, held, leased, lease };
    });
    return { met, counters };
  }

  async flush({ instanceId, events, reports }: FlushBatch): Promise<Set<string>> {
    this.#assertLive(instanceId);
    const inserted = this.#insert(instanceId, events);
    for (const report of reports) {
      const lease = this.leases.get(`${instanceId} ${report.counterId}`);
      if (!lease) continue;
      lease.held = report.held;
      if (report.returned <= lease.returned) continue;
      this.counters.get(report.counterId)!.leased -= report.returned - lease.returned;
      lease.returned = report.returned;
    }
    return inserted;
  }

  async adopt(
    instanceId: string,
    events: FlushEvent[],
    status: 'stopped' | 'adopted' = 'adopted',
  ): Promise<number> {
    const inserted = this.#insert(instanceId, events);
    const instance = this.#instances.get(instanceId);
    if (instance?.status === 'live') instance.status = status;
    for (const [key, lease] of this.leases) {
      if (lease.instanceId !== instanceId) continue;
      this.counters.get(lease.counterId)!.leased -= lease.granted - lease.returned - lease.settled;
      this.leases.delete(key);
    }
    return inserted.size;
  }

  #assertLive(instanceId: string): void {
    if (this.#instances.get(instanceId)?.status !== 'live') throw new InstanceFenced(instanceId);
  }

  #lease(counterId: string, instanceId: string): MemoryLease {
    return this.leases.get(`${instanceId} ${counterId}`) ?? { counterId, instanceId, ...NO_LEASE };
  }

  #create(spec: CounterSpec): void {
    if (this.counters.has(spec.id)) return;
    const amount = this.#amounts.get(spec.sourceId);
    if (amount === undefined) throw new Error(`there is no limit or grant ${spec.sourceId}`);
    let settled = 0n;
    for (const event of this.events.values()) {
      const inTeam = event.teamId === spec.teamId;
      if (inTeam && limitCounts(spec, event)) settled += event.cost;
    }
    this.counters.set(spec.id, { spec, amount, settled, held: 0n, leased: 0n });
  }

  #insert(instanceId: string, events: FlushEvent[]): Set<string> {
    const inserted = new Set<string>();
    for (const event of events) {
      if (this.events.has(event.id)) continue;
      this.events.set(event.id, event);
      inserted.add(event.id);
      for (const counter of this.counters.values()) this.#move(counter, instanceId, event);
    }
    return inserted;
  }

  #move(counter: MemoryCounter, instanceId: string, event: FlushEvent): void {
    const { spec } = counter;
    if (spec.teamId !== event.teamId) return;
    const part = event.allocations.find((allocation) => allocation.counterId === spec.id);
    if (part) counter.settled += part.settled;
    else if (limitCounts(spec, event)) counter.settled += event.cost;
    const lease = this.leases.get(`${instanceId} ${spec.id}`);
    if (!part || !lease) return;
    const paid = min(part.settled, part.held);
    lease.settled += paid;
    counter.leased -= paid;
  }
}
