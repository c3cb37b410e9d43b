/** The history of the store in memory: its server, its instances, and what it does when it went back. As in Postgres. */
import {
  type Fenced,
  type HistoryRow,
  type InstanceRow,
  isOlder,
  type Seen,
  type Server,
  whyForeign,
  whyNewEpoch,
} from '../../src/domain/history.ts';
import type { EventGap } from '../../src/store/hot/flush.ts';
import {
  InstanceFenced,
  LENDING_RESUMES_AFTER_MS,
  olderTimeline,
  type RejoinRequest,
  type Standing,
  StoreWentBack,
} from '../../src/store/hot/history.ts';

export interface MemoryInstance extends InstanceRow {
  heartbeatMs: number;
  /** Everything of it is in the ledger. */
  hasEnded: boolean;
  isGivenUp: boolean;
}

export class MemoryHistory {
  readonly #nowMs: () => number;
  readonly instances = new Map<string, MemoryInstance>();
  readonly gaps: EventGap[] = [];
  server: Server = { systemIdentifier: '1', timeline: 1, position: 1 };
  #row: HistoryRow;
  #epochs = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#row = { ...this.server, epoch: 'epoch-0', isLending: true, beganAtMs: nowMs() };
  }

  get isLending(): boolean {
    return this.#row.isLending;
  }

  get hasBroken(): boolean {
    return this.#epochs > 0;
  }

  /** Every write makes the log longer. */
  write(): void {
    this.server.position++;
  }

  /** Returns how to put everything back as it is now, but for the server itself. */
  backup(): () => void {
    const copy = structuredClone({ instances: [...this.instances], row: this.#row, server: this.server });
    return () => {
      this.instances.clear();
      for (const [id, instance] of structuredClone(copy.instances)) this.instances.set(id, instance);
      this.#row = { ...copy.row };
      this.server = { ...copy.server };
    };
  }

  register(id: string): void {
    const why = this.whyForeign();
    if (why !== null) this.#begin();
    const { epoch } = this.#row;
    const heartbeatMs = this.#nowMs();
    this.instances.set(id, {
      status: 'live',
      epoch,
      beats: 0,
      flushed: 0,
      heartbeatMs,
      hasEnded: false,
      isGivenUp: false,
    });
  }

  standingOf(instanceId: string): Standing {
    return { server: this.server, history: this.#row, own: this.instances.get(instanceId) ?? null };
  }

  whyForeign(): string | null {
    return whyForeign(this.#row, this.server);
  }

  beat(instanceId: string): void {
    const instance = this.instances.get(instanceId)!;
    instance.heartbeatMs = this.#nowMs();
    instance.beats++;
    this.write();
    this.#row.position = this.server.position;
  }

  replyTo(instanceId: string) {
    const { beats, flushed } = this.instances.get(instanceId)!;
    const { epoch, isLending } = this.#row;
    const seen: Seen = { ...this.server, epoch, beats, flushed, atMs: this.#nowMs() };
    const known: [string, number][] = [];
    for (const [id, { status, heartbeatMs, flushed: arrived }] of this.instances) {
      const isHeard = status === 'live' && heartbeatMs > this.#nowMs() - 10_000;
      if (isHeard && id !== instanceId) known.push([id, arrived]);
    }
    return { seen, isLending, known };
  }

  countEvents(instanceId: string, flushed: number): void {
    const instance = this.instances.get(instanceId);
    if (instance && flushed > instance.flushed) instance.flushed = flushed;
  }

  fence(instanceId: string, status: 'stopped' | 'adopted'): Fenced {
    this.assertEpoch(null);
    const instance = this.instances.get(instanceId) ?? this.#bring(instanceId);
    if (instance.status === 'live') instance.status = status;
    instance.beats++;
    this.write();
    const { beats, flushed, hasEnded } = instance;
    return { epoch: this.#row.epoch, beats, flushed, hasEnded };
  }

  /** As in Postgres each step of an end finds what the steps before it have left. */
  step(instanceId: string, fenced: Fenced): MemoryInstance {
    this.assertEpoch(fenced.epoch);
    const instance = this.instances.get(instanceId);
    if (!instance || instance.status === 'live' || instance.beats < fenced.beats)
      throw new StoreWentBack('the end of an instance is missing');
    instance.beats++;
    fenced.beats++;
    this.write();
    return instance;
  }

  rejoin({ instanceId, seen, known }: RejoinRequest): Seen {
    const own = this.instances.get(instanceId) ?? null;
    if (seen !== null && isOlder(this.server, seen)) throw olderTimeline(this.server, seen);
    if (own !== null && own.status !== 'live') throw new InstanceFenced(instanceId);
    if (whyNewEpoch(this.#row, this.server, own, seen) !== null) this.#begin();
    this.write();
    for (const [id, flushed] of known) {
      const instance = this.instances.get(id) ?? this.#bring(id);
      if (instance.status === 'live' && flushed > instance.flushed) instance.isGivenUp = false;
    }
    const { beats, flushed } = own ?? this.#bring(instanceId);
    return { ...this.server, epoch: this.#row.epoch, beats, flushed, atMs: this.#nowMs() };
  }

  #bring(id: string): MemoryInstance {
    const heartbeatMs = this.#nowMs();
    const made: MemoryInstance = {
      status: 'live',
      epoch: null,
      beats: 0,
      flushed: 0,
      heartbeatMs,
      hasEnded: false,
      isGivenUp: false,
    };
    this.instances.set(id, made);
    return made;
  }

  /**
   * Begins an epoch for a reason that only a data folder knows, unless one has begun in which nothing is lent yet. Returns
   * whether it has.
   */
  breakOff(): boolean {
    if (!this.#row.isLending) return false;
    this.#begin();
    return true;
  }

  #begin(): void {
    for (const instance of this.instances.values()) instance.heartbeatMs = this.#nowMs();
    this.#row = {
      ...this.server,
      epoch: `epoch-${++this.#epochs}`,
      isLending: false,
      beganAtMs: this.#nowMs(),
    };
  }

  assertEpoch(epoch: string | null): void {
    const why = this.whyForeign();
    if (why !== null) throw new StoreWentBack(why);
    if (epoch !== null && epoch !== this.#row.epoch)
      throw new StoreWentBack('the database went back once more');
  }

  join(instanceId: string, epoch: string | null, flushed: number): void {
    const instance = this.instances.get(instanceId);
    if (instance?.status !== 'live') return;
    instance.epoch = epoch;
    instance.isGivenUp = false;
    this.countEvents(instanceId, flushed);
  }

  /** Instances that have to put back or be adopted before money is lent. */
  get awaited(): string[] {
    const { epoch } = this.#row;
    return [...this.instances]
      .filter(
        ([, each]) => !each.isGivenUp && (each.status === 'live' ? each.epoch !== epoch : !each.hasEnded),
      )
      .map(([id]) => id);
  }

  resumeLending(): boolean {
    const isDue = this.#row.beganAtMs <= this.#nowMs() - LENDING_RESUMES_AFTER_MS;
    if (isDue && this.whyForeign() === null && this.awaited.length === 0) this.#row.isLending = true;
    return this.#row.isLending;
  }

  notEnded(instanceIds: readonly string[]): Map<string, number> {
    const found = new Map<string, number>();
    for (const id of instanceIds) {
      const instance = this.instances.get(id);
      if (!instance?.hasEnded) found.set(id, instance?.flushed ?? 0);
    }
    return found;
  }
}
