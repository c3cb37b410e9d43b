/** The webhooks that the simulator sends, read by OpenAI's own library. */
import OpenAI from 'openai';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { type Receiver, startReceiver } from '../jobs/receiver.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const ASKED = { model: 'gpt-4.1', input: 'Say it.', max_output_tokens: 20, background: true } as const;
const SOON = { timeout: 20_000, interval: 10 };

let receiver: Receiver;
let simulator: Simulator;
let client: OpenAI;
beforeEach(async () => {
  receiver = await startReceiver();
  const profile = { jobMs: 30, webhookUrl: receiver.url, webhookSecret: SECRET };
  simulator = await startSimulator({ profile });
  client = new OpenAI({ apiKey: 'sk-any', baseURL: simulator.url });
});
afterEach(async () => {
  await simulator.close();
  await receiver.close();
});

const headersOf = ({ headers }: Receiver['received'][number]) =>
  new Headers(headers as Record<string, string>);

it('openai-node unwraps them with their secret, and with no other', async () => {
  const begun = await client.responses.create(ASKED);
  await expect.poll(() => receiver.received.length, SOON).toBe(1);
  const [sent] = receiver.received as [Receiver['received'][number]];
  const event = await client.webhooks.unwrap(sent.body, headersOf(sent), SECRET);
  const { status } = await client.responses.retrieve(begun.id);
  expect(event).toEqual({
    ...{ id: expect.stringMatching(/^evt_/), object: 'event', type: `response.${status}` },
    ...{ created_at: expect.any(Number), data: { id: begun.id } },
  });
  expect(sent.headers['webhook-id']).toMatch(/^wh_/);
  const other = SECRET.replace('MfKQ', 'AAAA');
  await expect(client.webhooks.unwrap(sent.body, headersOf(sent), other)).rejects.toThrow(/signature/);
  const more = client.webhooks.unwrap(sent.body.replace(begun.id, 'resp_x'), headersOf(sent), SECRET);
  await expect(more).rejects.toThrow(/signature/);
});

it('of a cancelled response one comes, and comes again with the same id where the profile says so', async () => {
  simulator.setProfile({ jobMs: 60_000, webhookRepeatChance: 1, webhookDelayMs: 20 });
  const { id } = await client.responses.create(ASKED);
  await client.responses.cancel(id);
  await expect.poll(() => receiver.received.length, SOON).toBe(2);
  expect(receiver.received.map(({ json }) => json.type)).toEqual(Array(2).fill('response.cancelled'));
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});

it('one that is not taken comes again, the same and signed anew, until it is', async () => {
  receiver.statuses = [503, 500];
  await client.responses.create(ASKED);
  await expect.poll(() => receiver.received.length, SOON).toBe(3);
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
  const last = receiver.received.at(-1)!;
  await client.webhooks.unwrap(last.body, headersOf(last), SECRET);
});

it('none comes that is lost, and a receiver that is away troubles nobody', async () => {
  simulator.setProfile({ webhookLossChance: 1 });
  const { id } = await client.responses.create(ASKED);
  await expect.poll(async () => (await client.responses.retrieve(id)).status, SOON).not.toBe('queued');
  simulator.setProfile({ webhookLossChance: 0, webhookUrl: 'http://127.0.0.1:1/' });
  const { id: next } = await client.responses.create(ASKED);
  await expect.poll(async () => (await client.responses.retrieve(next)).status, SOON).not.toBe('queued');
  expect(receiver.received).toEqual([]);
});
