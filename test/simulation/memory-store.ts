/**
 * The ledger's store in memory, with exactly Postgres' semantics (stores.test.ts holds the two equal). Every method
 * does its work in one synchronous step, as a transaction would.
 */
import { type Allocation, grantAllOrNone } from '../../src/domain/budget.ts';
import {
  anchorIdOf,
  type CounterSpec,
  counted,
  isHeldBeside,
  windowAnchorId,
  windowStartOf,
} from '../../src/domain/counter.ts';
import type { Fenced, Seen } from '../../src/domain/history.ts';
import type { CounterId } from '../../src/domain/ids.ts';
import type { LeasedCounter } from '../../src/domain/lease.ts';
import { ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { bucketMs } from '../../src/domain/window.ts';
import type { LedgerStore } from '../../src/ledger/heartbeat.ts';
import type { EventGap, FlushBatch, FlushEvent, PutBackBatch } from '../../src/store/hot/flush.ts';
import { assertStanding, type RejoinRequest } from '../../src/store/hot/history.ts';
import type { HeartbeatReply } from '../../src/store/hot/instances.ts';
import { assertRemembered, type LeaseReply, type LeaseRequest } from '../../src/store/hot/leases.ts';
import { type MemoryCounter, type MemoryLease, NO_LEASE, refill, stateOf } from './memory-counter.ts';
import { MemoryHistory, type MemoryInstance } from './memory-history.ts';
import { MemoryReleases, usedBefore } from './memory-releases.ts';

const ALIVE_MS = 10_000;
const min = (a: bigint, b: bigint) => (a < b ? a : b);

export class MemoryStore implements LedgerStore {
  readonly #nowMs: () => number;
  readonly #amounts = new Map<string, bigint>();
  /** What would be the counter of each grant. */
  readonly #grants = new Map<string, CounterSpec>();
  readonly history: MemoryHistory;
  readonly counters = new Map<string, MemoryCounter>();
  readonly leases = new Map<string, MemoryLease>();
  readonly events = new Map<string, FlushEvent>();
  /** Durable holds by event id. */
  readonly holds = new Map<string, Allocation[]>();
  readonly releases = new MemoryReleases((counterId) => this.#grants.has(counterId));

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.history = new MemoryHistory(nowMs);
  }

  get #instances(): Map<string, MemoryInstance> {
    return this.history.instances;
  }

  /** Makes or changes a limit or grant, as an admin does it: its open counters change with it. */
  setAmount(sourceId: string, amount: bigint): void {
    this.#amounts.set(sourceId, amount);
    for (const counter of this.counters.values()) {
      const { endsAtMs } = counter.spec;
      const open = endsAtMs === null || endsAtMs > this.#nowMs() || counter.spec.rollingMs !== null;
      if (counter.spec.sourceId === sourceId && open) counter.amount = amount;
    }
  }

  /** Ends the open counters of a limit that is reset, as an admin does it: what calls hold of them stays there. */
  endCounters(sourceId: string, atMs: number): void {
    for (const counter of this.counters.values()) {
      const { spec } = counter;
      const isOpen = spec.endsAtMs === null || spec.endsAtMs > atMs;
      if (spec.sourceId === sourceId && isOpen) counter.spec = { ...spec, endsAtMs: atMs };
    }
  }

  /** Makes a grant, as an admin does it; its counter is made when it is needed. */
  makeGrant(spec: CounterSpec): void {
    this.#grants.set(spec.id, spec);
    this.setAmount(spec.sourceId, spec.amount);
  }

  registerInstance(id: string): void {
    this.history.register(id);
  }

  async heartbeat(instanceId: string, seen: Seen | null = null): Promise<HeartbeatReply> {
    this.#assertLive(instanceId, seen, 'settle');
    const nowMs = this.#nowMs();
    this.history.beat(instanceId);
    const live = [...this.#instances.values()].filter(
      (each) => each.status === 'live' && each.heartbeatMs > nowMs - ALIVE_MS,
    );
    const contended = [...this.leases.values()]
      .filter((lease) => lease.instanceId === instanceId)
      .map((lease) => this.counters.get(lease.counterId)!)
      .filter((counter) => counter.contendedUntilMs > nowMs)
      .map(({ spec }) => `${spec.teamId}/${spec.id}`);
    return {
      nowMs,
      instances: live.length,
      contended,
      catalogVersion: 0,
      ...this.history.replyTo(instanceId),
    };
  }

  async silentMs(instanceId: string): Promise<number | null> {
    const instance = this.#instances.get(instanceId);
    return instance?.status === 'live' ? this.#nowMs() - instance.heartbeatMs : null;
  }

  async putBackJob(): Promise<void> {}
  async requestLease(request: LeaseRequest): Promise<LeaseReply> {
    const { instanceId, pools, seen = null } = request;
    this.#assertLive(instanceId, seen, 'lend');
    const leases = [...this.leases.values()].filter((lease) => lease.instanceId === instanceId);
    assertRemembered(request, new Map(leases.map((lease) => [lease.counterId, lease])));
    this.history.write();
    const specs = pools.flatMap((pool) => pool.counters);
    for (const spec of specs) this.#create(spec);
    const needs = pools.map(({ counters, ...need }) => ({
      counterIds: counters.map(({ id }) => id),
      ...need,
    }));
    for (const spec of specs) if (spec.meter === 'concurrency') this.#takeBackSlots(spec.id);
    const states = new Map(specs.map((spec) => [spec.id, stateOf(this.counters, spec, this.#nowMs())]));
    const { met, grants, lacking } = grantAllOrNone(needs, states);
    for (const [id, amount] of grants) {
      const lease = this.#lease(id, instanceId);
      this.leases.set(`${instanceId} ${id}`, { ...lease, granted: lease.granted + amount });
      this.counters.get(id)!.leased += amount;
    }
    const nowMs = this.#nowMs();
    const counters = [...states].map(([id, state]): LeasedCounter => {
      const counter = this.counters.get(id)!;
      const wasContended = counter.contendedUntilMs > nowMs;
      if (lacking.includes(id)) counter.contendedUntilMs = nowMs + 1000;
      const { counterId: _, instanceId: __, held: ___, ...lease } = this.#lease(id, instanceId);
      const isContended = wasContended || lacking.includes(id);
      return { ...state, id, leased: counter.leased, lease, isContended, isAbsent: false };
    });
    return { met, counters };
  }

  #takeBackSlots(counterId: string): void {
    for (const lease of this.leases.values()) {
      if (lease.counterId !== counterId) continue;
      const instance = this.#instances.get(lease.instanceId);
      const out = lease.granted - lease.returned - lease.settled;
      const isHeard = instance?.status === 'live' && instance.heartbeatMs >= this.#nowMs() - ALIVE_MS;
      if (isHeard || out <= 0n) continue;
      lease.returned += out;
      this.counters.get(counterId)!.leased -= out;
    }
  }

  async flush({
    instanceId,
    events,
    reports,
    holds = [],
    seen = null,
    flushed = 0,
  }: FlushBatch): Promise<Set<string>> {
    this.#assertLive(instanceId, seen, 'settle');
    this.history.write();
    for (const hold of holds) this.#keep(instanceId, hold.id, hold.allocations, true);
    const inserted = this.#insert(instanceId, events);
    if (events.length > 0) this.history.countEvents(instanceId, flushed);
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
    flushed?: number,
    seen: Seen | null = null,
    fenced?: Fenced,
  ): Promise<number> {
    const own = this.#instances.get(instanceId);
    if (seen !== null && (!own || own.status === 'live')) {
      this.history.assertEpoch(null);
      this.#assertLive(instanceId, seen, 'settle');
    }
    const instance = this.history.step(instanceId, fenced ?? this.history.fence(instanceId, status));
    this.#createForgotten(events);
    const inserted = this.#insert(instanceId, events);
    instance.hasEnded = true;
    if (flushed !== undefined) this.history.countEvents(instanceId, flushed);
    this.#endLeases(instanceId);
    return inserted.size;
  }

  async rejoin(request: RejoinRequest, counters: readonly CounterSpec[]): Promise<Seen> {
    const seen = this.history.rejoin(request);
    for (const spec of counters) if (this.#amounts.has(spec.sourceId)) this.#create(spec);
    return seen;
  }

  async fence(instanceId: string): Promise<Fenced> {
    return this.history.fence(instanceId, 'adopted');
  }

  async putBack({ instanceId, epoch, fenced, events, last }: PutBackBatch): Promise<number> {
    if (fenced === undefined) this.history.assertEpoch(epoch);
    else this.history.step(instanceId, fenced);
    this.history.write();
    this.#createForgotten(events);
    for (const hold of last?.holds ?? []) this.#keep(instanceId, hold.id, hold.allocations, false);
    const inserted = this.#insert(null, events);
    if (last === null) return inserted.size;
    this.#endLeases(instanceId);
    this.history.join(instanceId, epoch, last.flushed);
    return inserted.size;
  }

  /** Corrects the charge of a call of unknown outcome by what the upstream billed. */
  release(eventId: string, cost: bigint): void {
    const event = this.events.get(eventId)!;
    this.releases.costs.set(eventId, cost);
    this.history.write();
    for (const counter of this.counters.values()) {
      const { spec } = counter;
      if (spec.teamId !== event.teamId && spec.teamId !== ORGANIZATION_ID) continue;
      if (!this.#isInBucket(spec, event)) counter.settled += this.releases.change(spec, event);
    }
  }

  /** Charges nothing for calls of unknown outcome that began before a moment. Returns the ids of their events. */
  releaseBefore(untilMs: number): string[] {
    const released = this.releases.openBefore(untilMs, this.events.values());
    for (const id of released) this.release(id, 0n);
    return released;
  }

  async noteGap(gap: EventGap): Promise<void> {
    this.history.gaps.push(gap);
  }

  async resumeLending(): Promise<boolean> {
    return this.history.resumeLending();
  }

  async notEnded(instanceIds: readonly string[]): Promise<Map<string, number>> {
    return this.history.notEnded(instanceIds);
  }

  /** Whether an instance has not ended, as far as the store knows. */
  notEndedNow(instanceId: string): boolean {
    return this.history.notEnded([instanceId]).size > 0;
  }

  #endLeases(instanceId: string): void {
    for (const [key, lease] of this.leases) {
      if (lease.instanceId !== instanceId) continue;
      this.counters.get(lease.counterId)!.leased -= lease.granted - lease.returned - lease.settled;
      this.leases.delete(key);
    }
  }

  #assertLive(instanceId: string, seen: Seen | null, purpose: 'lend' | 'settle'): void {
    assertStanding(this.history.standingOf(instanceId), instanceId, seen, purpose);
  }

  /** A copy of everything, as a backup has it. */
  backup(): () => void {
    const copy = structuredClone({
      counters: [...this.counters],
      leases: [...this.leases],
      events: [...this.events],
      holds: [...this.holds],
      released: [...this.releases.costs],
    });
    const restoreHistory = this.history.backup();
    return () => {
      restoreHistory();
      refill(this.counters, structuredClone(copy.counters));
      refill(this.leases, structuredClone(copy.leases));
      refill(this.events, copy.events);
      refill(this.holds, copy.holds);
      refill(this.releases.costs, copy.released);
      // Rules are as durable as an admin wants them; what becomes of lost ones is no question of money.
      for (const [sourceId, amount] of this.#amounts) this.setAmount(sourceId, amount);
    };
  }

  #lease(counterId: string, instanceId: string): MemoryLease {
    return this.leases.get(`${instanceId} ${counterId}`) ?? { counterId, instanceId, ...NO_LEASE };
  }

  #keep(instanceId: string, id: string, allocations: Allocation[], pays: boolean): void {
    if (this.holds.has(id) || this.events.has(id)) return;
    this.holds.set(id, allocations);
    for (const { counterId, held } of allocations) {
      const counter = this.counters.get(counterId);
      if (!counter) continue;
      counter.held += held;
      if (!pays) continue;
      counter.leased -= held;
      const lease = this.leases.get(`${instanceId} ${counterId}`);
      if (lease) lease.settled += held;
    }
  }

  #create(spec: CounterSpec): void {
    if (spec.rollingMs !== null) this.#createAnchor(spec, spec.rollingMs);
    if (this.counters.has(spec.id)) return;
    const amount = this.#amountOf(spec);
    const settled =
      spec.rollingMs === null
        ? usedBefore(spec, this.events.values(), this.releases, this.history.hasBroken)
        : 0n;
    this.#add(spec, amount, settled);
  }

  #amountOf({ sourceId }: CounterSpec): bigint {
    const amount = this.#amounts.get(sourceId);
    if (amount === undefined) throw new Error(`there is no limit, grant or raise ${sourceId}`);
    return amount;
  }

  #createForgotten(events: readonly FlushEvent[]): void {
    for (const { counterId } of events.flatMap(({ allocations }) => allocations)) {
      const spec = this.#grants.get(counterId) ?? this.#bucketOf(counterId);
      if (spec) this.#create(spec);
    }
  }

  #bucketOf(id: CounterId): CounterSpec | null {
    const anchor = this.counters.get(anchorIdOf(id))?.spec;
    const startsAtMs = windowStartOf(id);
    if (!anchor || anchor.rollingMs === null || startsAtMs === null) return null;
    return { ...anchor, id, startsAtMs, endsAtMs: startsAtMs + bucketMs(anchor.rollingMs) };
  }

  /** Whether the counter is the anchor of a bucket that counts the event. */
  #isInBucket({ id }: CounterSpec, event: FlushEvent): boolean {
    return event.allocations.some(
      ({ counterId }) => counterId !== id && anchorIdOf(counterId) === id && this.counters.has(counterId),
    );
  }

  #createAnchor(spec: CounterSpec, rollingMs: number): void {
    const nowMs = Math.floor(this.#nowMs());
    const anchor = { ...spec, id: windowAnchorId(spec), startsAtMs: nowMs - rollingMs, endsAtMs: nowMs };
    if (this.counters.has(anchor.id)) return;
    const amount = this.#amountOf(spec);
    this.#add(
      anchor,
      amount,
      usedBefore(anchor, this.events.values(), this.releases, this.history.hasBroken),
    );
  }

  #add(spec: CounterSpec, amount: bigint, settled: bigint): void {
    const state = { amount, settled, held: 0n, leased: 0n };
    this.counters.set(spec.id, { spec, ...state, contendedUntilMs: Number.NEGATIVE_INFINITY });
  }

  #insert(instanceId: string | null, events: FlushEvent[]): Set<string> {
    const inserted = new Set<string>();
    for (const event of events) {
      if (this.events.has(event.id)) continue;
      this.events.set(event.id, event);
      inserted.add(event.id);
      for (const counter of this.counters.values()) this.#move(counter, instanceId, event);
      this.holds.delete(event.id);
    }
    return inserted;
  }

  #move(counter: MemoryCounter, instanceId: string | null, event: FlushEvent): void {
    const { spec } = counter;
    if (spec.teamId !== event.teamId && spec.teamId !== ORGANIZATION_ID) return;
    const part = event.allocations.find((allocation) => allocation.counterId === spec.id);
    if (part) counter.settled += part.settled;
    else if (!this.#isInBucket(spec, event) && !isHeldBeside(spec.id, event.allocations))
      counter.settled += counted(spec, event);
    const kept = this.holds.get(event.id)?.find((allocation) => allocation.counterId === spec.id);
    if (kept) {
      counter.held -= kept.held;
      return;
    }
    const lease = this.leases.get(`${instanceId} ${spec.id}`);
    if (!part || !lease) return;
    const paid = min(part.settled, part.held);
    lease.settled += paid;
    counter.leased -= paid;
  }
}
