/**
 * The job `deliver`: sends the webhooks of warnings. Owns: when a failed one is tried again, and when it is given up.
 * Does not own: the claim (store/warning-deliveries.ts), the sending (webhook.ts). Invariant: a warning is sent at
 * least once, always with the same id; several of one counter are sent in the order of their thresholds.
 */
import type { Database } from '../store/database.ts';
import { claimWarnings, type DueWarning, endDelivery } from '../store/warning-deliveries.ts';
import type { DeliveryOutcome } from '../telemetry/measurement.ts';
import { warningBody } from './warning-message.ts';
import type { Webhook } from './webhook.ts';

export interface DeliverOptions {
  database: Database;
  webhook: Webhook;
  nowMs: () => number;
  onEnd: (outcome: DeliveryOutcome, warning: DueWarning, problem: string | null) => void;
  /** How long after each failed attempt the next one follows; after the last of them it is given up. */
  retriesAfterMs?: readonly number[] | undefined;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** Sixteen hours in all, so that a receiver that fails overnight still gets its warnings. */
export const RETRIES_AFTER_MS = [
  2 * SECOND,
  10 * SECOND,
  MINUTE,
  5 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  4 * HOUR,
  8 * HOUR,
];

const BATCH = 8;
/** Longer than a whole batch takes when every webhook of it times out in turn. */
const CLAIM_MS = 2 * MINUTE;

/** Sends the webhooks that are due. */
export async function deliver(options: DeliverOptions, signal: AbortSignal): Promise<void> {
  let sent: number;
  do sent = await deliverBatch(options, signal);
  while (sent === BATCH && !signal.aborted);
}

async function deliverBatch(options: DeliverOptions, signal: AbortSignal): Promise<number> {
  const due = await claimWarnings(options.database, { limit: BATCH, forMs: CLAIM_MS });
  const byCounter = Map.groupBy(due, ({ counterId }) => counterId);
  await Promise.all(
    [...byCounter.values()].map(async (warnings) => {
      for (const warning of warnings) await attempt(options, warning, signal);
    }),
  );
  return due.length;
}

async function attempt(options: DeliverOptions, warning: DueWarning, signal: AbortSignal): Promise<void> {
  const { database, webhook, nowMs, onEnd, retriesAfterMs = RETRIES_AFTER_MS } = options;
  const problem = signal.aborted
    ? 'the gateway stopped'
    : await webhook.send({ id: warning.id, body: warningBody(warning) }, nowMs(), signal);
  if (problem === null) {
    await endDelivery(database, warning, { outcome: 'delivered' });
    onEnd('delivered', warning, null);
    return;
  }
  // A gateway that stops makes the webhook due at once, for another instance.
  const againInMs = signal.aborted ? 0 : (retriesAfterMs[warning.attempts - 1] ?? null);
  await endDelivery(database, warning, { outcome: 'failed', problem, againInMs });
  onEnd(againInMs === null ? 'given_up' : 'failed', warning, problem);
}
