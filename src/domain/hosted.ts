/**
 * Tools that the upstream runs: what a call that offers them may cost beside its tokens. Owns: their fees, and how many calls
 * are held for. Does not own: what each turn reads (estimate.ts), nor how many were made (openai/response.ts). Pure.
 */
import type { PicoUsd } from './money.ts';
import { CONTAINER_GIB, type HostedTools } from './operation.ts';
import type { RateCards } from './price.ts';
import type { FeeMeter } from './quantities.ts';

/** What the tools of a call may cost that the upstream runs: each call its fee, and one more turn that reads the window. */
export interface HostedBound {
  /** By meter, what a call of its tool costs; empty: what it reads is all. */
  readonly fees: Partial<Record<FeeMeter, PicoUsd>>;
  /** How many calls are held for. */
  readonly calls: number;
  /** Responses do not say how many there were: it is always this many. */
  readonly always: boolean;
  /** Calls beyond those, which the client approves. */
  readonly approved: number;
  /** Sessions of containers that it may begin, counted by their GiB of memory, and what one costs. */
  readonly sessions: number;
  readonly feePerSession: PicoUsd;
}

/** Held for a container of which it is not known. */
const MOST_GIB = Math.max(...CONTAINER_GIB);

/** Calls that a response may make where its client set no limit; fewer where the money does not reach. */
export const CALLS_WRITTEN_IN = 4;

/**
 * Returns what the tools of a call may cost, with this many calls where its client set no limit; null: one of them has no
 * price at that moment (milliseconds since the epoch).
 */
export function hostedBound(
  { meters, calls, always, approved, containers }: HostedTools,
  rates: Pick<RateCards, 'toolFee' | 'sessionFee'>,
  { model, atMs, callsWrittenIn }: { model: string; atMs: number; callsWrittenIn: number },
): HostedBound | null {
  const fees: HostedBound['fees'] = {};
  for (const meter of meters) {
    const fee = rates.toolFee(meter, model, atMs);
    if (fee === null) return null;
    fees[meter] = fee;
  }
  const sessions = containers?.reduce((sum, { memoryGib }) => sum + (memoryGib ?? MOST_GIB), 0) ?? 0;
  const feePerSession = sessions === 0 ? 0n : rates.sessionFee(atMs);
  if (feePerSession === null) return null;
  return { fees, calls: calls ?? callsWrittenIn, always, approved, sessions, feePerSession };
}

/** Returns the most that calls and sessions cost beside what they read. */
export function mostFees({ fees, calls, approved, sessions, feePerSession }: HostedBound): PicoUsd {
  let most = 0n;
  for (const fee of Object.values(fees)) if (fee > most) most = fee;
  return most * BigInt(calls + approved) + feePerSession * BigInt(sessions);
}
