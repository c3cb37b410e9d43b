/** Corrections of the store in memory: what calls of unknown outcome cost after all, and what that moves. As in Postgres. */
import { settleInOrder, type UnknownCall } from '../../src/domain/budget.ts';
import { type CounterSpec, counted, isHeldBeside, sourceIdOf } from '../../src/domain/counter.ts';
import { asId, type EventId, momentOfUuidV7 } from '../../src/domain/ids.ts';
import { QUARTER_HOUR_MS } from '../../src/domain/window.ts';
import type { FlushEvent } from '../../src/store/hot/flush.ts';

export class MemoryReleases {
  /** What the upstream billed, by event id. */
  readonly costs = new Map<string, bigint>();
  readonly #isGrant: (counterId: string) => boolean;

  constructor(isGrant: (counterId: string) => boolean) {
    this.#isGrant = isGrant;
  }

  /**
   * How much more (or less) a counter counts of an event since it was corrected, than it did before.
   * @param asPart it counts what it paid, where it paid; false: it was made later, and counts what the call used
   */
  change(spec: CounterSpec, event: FlushEvent, asPart = true): bigint {
    const cost = this.costs.get(event.id);
    // Who is made later starts from the rollups, in which a correction moves money alone.
    if (cost === undefined || (!asPart && spec.meter !== 'cost_usd')) return 0n;
    if (spec.source !== 'grant' && spec.endsAtMs !== null && spec.endsAtMs <= event.createdAtMs) return 0n;
    const moves = cost === 0n ? spec.meter !== 'requests' : spec.meter === 'cost_usd';
    // The counter of another key is none of its business.
    if (!moves || (spec.subjectType === 'key' && spec.subjectId !== event.keyId)) return 0n;
    const part = asPart ? event.allocations.find(({ counterId }) => counterId === spec.id) : undefined;
    const due = spec.meter === 'cost_usd' ? cost : 0n;
    if (part === undefined) {
      if (asPart && isHeldBeside(spec.id, event.allocations)) return 0n;
      const claim =
        spec.meter === 'cost_usd'
          ? { ...event.claim, cost }
          : { ...event.claim, input_tokens: 0, output_tokens: 0 };
      return counted(spec, { ...event, claim }) - counted(spec, event);
    }
    const together = event.allocations.filter(({ counterId }) =>
      spec.source === 'grant'
        ? this.#isGrant(counterId)
        : !this.#isGrant(counterId) && sourceIdOf(counterId) === sourceIdOf(spec.id),
    );
    if (together.length === 1) return due - part.settled;
    const paid = settleInOrder(
      together.map(({ held }) => held),
      due,
    );
    return paid[together.indexOf(part)]! - part.settled;
  }

  /** Events of calls that began before a moment, of which neither the outcome nor the cost is known. */
  openBefore(untilMs: number, events: Iterable<FlushEvent>): string[] {
    const open: string[] = [];
    for (const event of events) if (event.createdAtMs < untilMs && this.#isOpen(event)) open.push(event.id);
    return open;
  }

  #isOpen(event: FlushEvent): boolean {
    return isUnknown(event) && !this.costs.has(event.id);
  }

  /** The calls of a team whose outcome is not known. */
  unknownOf(teamId: string, events: Iterable<FlushEvent>): UnknownCall[] {
    const calls: UnknownCall[] = [];
    for (const event of events) {
      if (event.teamId !== teamId || !this.#isOpen(event)) continue;
      const { keyId, model, endUser, tags = null, claim } = event;
      const id = asId<EventId>(event.id);
      calls.push({
        id,
        keyId,
        model,
        endUser,
        tags,
        admittedMs: momentOfUuidV7(event.id),
        charged: claim.cost,
      });
    }
    return calls;
  }
}

/** What the window of a counter that is made had seen before, as the events say. @param hasBroken the store went back once */
export function usedBefore(
  spec: CounterSpec,
  events: Iterable<FlushEvent>,
  releases: MemoryReleases,
  hasBroken: boolean,
): bigint {
  let used = 0n;
  // Of whole quarters rollups are read, which do not know on what a call was held.
  const isInRollups = spec.startsAtMs % QUARTER_HOUR_MS === 0;
  for (const event of events) {
    // A counter that was forgotten starts with what its events say that it paid: their usage may not be known.
    const part = event.allocations.find((allocation) => allocation.counterId === spec.id);
    const isPart = part !== undefined && hasBroken;
    if (part === undefined && !isInRollups && isHeldBeside(spec.id, event.allocations)) continue;
    used += isPart ? part.settled : counted(spec, event);
    used += releases.change(spec, event, isPart);
  }
  return used;
}

export function isUnknown({ json }: FlushEvent): boolean {
  return json.includes('"outcome":"unknown"');
}
