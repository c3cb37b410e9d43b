/**
 * Webhooks, as OpenAI sends them: signed by Standard Webhooks, and with nothing of a job but its id. The profile says where they go, how late,
 * and how many are lost or come again. One that its receiver does not take is sent again, each time after twice as long, with the same id and
 * body, and a time and signature of its own. OpenAI does so for 72 hours; the simulator's tests are shorter.
 * https://platform.openai.com/docs/guides/webhooks
 */
import { createHmac } from 'node:crypto';
import type { ApiState } from './exchange.ts';
import { randomHex, seededRandom } from './random.ts';
import { nowSeconds } from './stored.ts';

/** The jobs that events are about, by what their types begin with. */
type Subject = 'batch' | 'eval.run' | 'fine_tuning.job' | 'response';

const TIMEOUT_MS = 10_000;
/** How often one is sent, the first time included, and how long after the first it is sent again. */
const SENDS_MAX = 6;
const AGAIN_AFTER_MS = 250;

/** Tells the receiver, if there is one, that a job has ended. @param status as the event calls it */
export function announce(state: ApiState, subject: Subject, status: string, jobId: unknown): void {
  const { webhookUrl, webhookDelayMs, webhookLossChance, webhookRepeatChance } = state.profile;
  if (webhookUrl === '') return;
  const type = `${subject}.${status}`;
  const random = seededRandom(state.seed, `webhook ${type} ${String(jobId)}`);
  const id = `wh_${randomHex(random, 32)}`;
  const event = { id: `evt_${randomHex(random, 32)}`, object: 'event', type, created_at: nowSeconds() };
  const body = JSON.stringify({ ...event, data: { id: jobId } });
  if (random() < webhookLossChance) return;
  const times = random() < webhookRepeatChance ? 2 : 1;
  for (let time = 1; time <= times; time++)
    setTimeout(() => void deliver(state, id, body), time * webhookDelayMs).unref();
}

/** Sends it until it is taken. */
async function deliver(state: ApiState, id: string, body: string, sends = 1): Promise<void> {
  if ((await isTaken(state, id, body)) || sends >= SENDS_MAX) return;
  const afterMs = AGAIN_AFTER_MS * 2 ** (sends - 1);
  setTimeout(() => void deliver(state, id, body, sends + 1), afterMs).unref();
}

/** Sends it once; returns whether its receiver took it. */
async function isTaken({ profile }: ApiState, id: string, body: string): Promise<boolean> {
  const timestamp = String(nowSeconds());
  const key = Buffer.from(profile.webhookSecret.replace(/^whsec_/, ''), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(profile.webhookUrl, { method: 'POST', headers, body, signal });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
