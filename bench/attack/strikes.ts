/**
 * The strikes: SIGKILL to replicas and to Postgres in the middle of the work, and the start on what they left. Owns: when;
 * each waits until enough calls are in flight, as the upstream itself counts them, so that none strikes an idle house.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { PicoUsd } from '../../src/domain/money.ts';
import type { House } from './house.ts';
import type { Replica } from './replica.ts';

type Target = 'replica' | 'worker' | 'postgres' | 'both';

/** A strike as planned: at which share of the budget billed. */
export interface PlannedStrike {
  target: Target;
  atShare: number;
}

export interface Strike {
  target: Target;
  /** Calls in flight at the upstream when the signal was sent: of the replica, or of all where Postgres was struck. */
  inFlight: number;
}

/** Six: each alone, in turns, then both at once. */
export const FULL_PLAN: readonly PlannedStrike[] = [
  { target: 'replica', atShare: 0.08 },
  { target: 'postgres', atShare: 0.16 },
  { target: 'replica', atShare: 0.24 },
  { target: 'postgres', atShare: 0.32 },
  { target: 'replica', atShare: 0.4 },
  { target: 'both', atShare: 0.48 },
];

export const SMALL_PLAN: readonly PlannedStrike[] = [
  { target: 'replica', atShare: 0.15 },
  { target: 'postgres', atShare: 0.35 },
];

/** With several workers, every other strike on a replica kills one of them alone. */
export function planFor(plan: readonly PlannedStrike[], workers: number): readonly PlannedStrike[] {
  if (workers === 1) return plan;
  let strikes = 0;
  return plan.map((strike) =>
    strike.target === 'replica' && strikes++ % 2 === 0 ? { ...strike, target: 'worker' } : strike,
  );
}

export const IN_FLIGHT_LEAST = 20;
const POLL_MS = 20;
/** How long what was killed stays away. */
const AWAY_MS = 500;

/**
 * Strikes by the plan, for as long as somebody calls.
 * @param before what was billed before the budget began
 */
export async function strikeAll(
  house: House,
  plan: readonly PlannedStrike[],
  budget: PicoUsd,
  isOver: () => boolean,
  progress: (text: string) => void,
  before: PicoUsd = 0n,
): Promise<Strike[]> {
  const strikes: Strike[] = [];
  for (const { target, atShare } of plan) {
    const due = before + (budget * BigInt(Math.round(atShare * 1000))) / 1000n;
    while (!isOver() && (await house.upstream.billed()) < due) await delay(POLL_MS);
    const victim = await busiest(house, target, isOver);
    if (victim === null) break;
    const { replica, inFlight } = victim;
    await strike(house, target, replica);
    strikes.push({ target, inFlight });
    progress(`killed ${target} with ${inFlight} calls in flight`);
  }
  return strikes;
}

/** Waits until the replica that is busiest, or the whole house, has enough in flight. Null: the calls are over. */
async function busiest({ upstream, replicas }: House, target: Target, isOver: () => boolean) {
  while (!isOver()) {
    const inFlight = await upstream.inFlight();
    const of = (replica: Replica) => inFlight.get(replica.upstreamKeyId) ?? 0;
    const replica = replicas.reduce((most, each) => (of(each) > of(most) ? each : most));
    const all = replicas.reduce((sum, each) => sum + of(each), 0);
    const counted = target === 'postgres' ? all : of(replica);
    if (counted >= IN_FLIGHT_LEAST) return { replica, inFlight: counted };
    await delay(POLL_MS);
  }
  return null;
}

async function strike({ postgres }: House, target: Target, replica: Replica): Promise<void> {
  if (target === 'worker') return replica.killWorker();
  await Promise.all([
    target === 'postgres' ? null : replica.kill(),
    target === 'replica' ? null : postgres.kill(),
  ]);
  await delay(AWAY_MS);
  if (target !== 'replica') await postgres.start();
  if (target !== 'postgres') await replica.start();
}
