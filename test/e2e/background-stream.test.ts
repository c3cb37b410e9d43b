/** Streams of responses in the background: a job whose events are passed on while its client reads them, and which it can come back to. */
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readEvents } from './books.ts';
import { until } from './crash-gateway.ts';
import { billedFor, clientOf, endOf, heldBy } from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';
import { startRecorder } from './wire.ts';

type Event = OpenAI.Responses.ResponseStreamEvent;
type Asked = OpenAI.Responses.ResponseCreateParamsStreaming;

const ENV = { TOLLGATE_JOB_POLL_MS: '100' };
const JOB_MS = 600;
/** Longer than a test may take. */
const NEVER_MS = 600_000;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: ENV, simulator: { profile: { jobMs: JOB_MS } } });
});
afterAll(async () => {
  await stack.stop();
});

const asked = (fields: object = {}) =>
  ({
    ...{ model: 'gpt-5-mini', input: 'Say it.', max_output_tokens: 100, background: true, stream: true },
    ...fields,
  }) as Asked;

/** Reads events until one of this number, the error or the end. */
async function read(stream: AsyncIterable<Event>, last = Number.POSITIVE_INFINITY): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of stream) {
    events.push(event);
    if (event.sequence_number >= last) break;
  }
  return events;
}

const numbersOf = (events: readonly Event[]) => events.map(({ sequence_number }) => sequence_number);
const upTo = (last: number, first = 0) => Array.from({ length: last - first + 1 }, (_, at) => first + at);

function idOf([created]: readonly Event[]): string {
  if (created?.type !== 'response.created') throw new Error(`the stream began with ${created?.type}`);
  return created.response.id;
}

const textOf = (events: readonly Event[]) =>
  events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');

/** Its one event, which is what was billed and held at no less; nothing is held any more. */
async function expectBill(teamId: string, since: number, outcome: object = {}): Promise<void> {
  const billed = billedFor(stack, /^responses/, since);
  expect(billed).toBeGreaterThan(0n);
  expect(await heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: billed });
  const events = (await readEvents(stack, teamId)).filter(({ operation }) => operation === 'responses');
  expect(events).toMatchObject([{ outcome: 'settled', provenance: 'reported', reason: null, ...outcome }]);
  expect(usd(events[0]!.hold_usd)).toBeGreaterThanOrEqual(billed);
}

it('passes on every event, and is settled once, at its bill', async () => {
  const { key, teamId } = await stack.team({ grantUsd: '5.00' });
  const since = stack.simulator.invoice().line_count;
  const { data, response } = await clientOf(stack, key).responses.create(asked()).withResponse();
  expect(usd(response.headers.get('x-tollgate-hold-usd')!)).toBeGreaterThan(0n);
  const events = await read(data);
  expect(numbersOf(events)).toEqual(upTo(events.length - 1));
  expect(events.at(-1)?.type).toMatch(/^response\.(?:completed|incomplete)$/);
  await endOf(stack, idOf(events));
  await expectBill(teamId, since);
});

it('comes while it is worked on: its first event long before its last', async () => {
  const { key } = await stack.team({ grantUsd: '5.00' });
  const client = clientOf(stack, key);
  const since = stack.simulator.invoice().line_count;
  stack.simulator.setProfile({ jobMs: NEVER_MS });
  try {
    const events = await read(await client.responses.create(asked()), 0);
    // Nothing has ended: nothing is billed yet.
    expect(billedFor(stack, /^responses/, since)).toBe(0n);
    await client.responses.cancel(idOf(events));
    await endOf(stack, idOf(events));
  } finally {
    stack.simulator.setProfile({ jobMs: JOB_MS });
  }
});

it('goes on when its client leaves, which finds the rest behind any event, free of charge', async () => {
  const { key, teamId } = await stack.team({ grantUsd: '5.00' });
  const client = clientOf(stack, key);
  const since = stack.simulator.invoice().line_count;
  const before = await read(await client.responses.create(asked()), 4);
  const id = idOf(before);
  expect(numbersOf(before)).toEqual(upTo(4));
  // While it goes on, and when it has ended.
  const during = await read(await client.responses.retrieve(id, { stream: true, starting_after: 4 }));
  await endOf(stack, id);
  const after = await read(await client.responses.retrieve(id, { stream: true, starting_after: 4 }));
  const last = 4 + during.length;
  expect(numbersOf(during)).toEqual(upTo(last, 5));
  expect(after).toEqual(during);
  const all = await read(await client.responses.retrieve(id, { stream: true }));
  expect(numbersOf(all)).toEqual(upTo(last));
  expect((await client.responses.retrieve(id)).output_text).toBe(textOf(all));
  await stack.idle();
  await expectBill(teamId, since);
  const free = (await readEvents(stack, teamId)).filter(({ operation }) => operation !== 'responses');
  expect(free.map(({ operation }) => operation)).toEqual(Array(4).fill('responses.retrieve'));
  expect(free.map(({ cost_usd, input_tokens }) => [usd(cost_usd), input_tokens ?? 0])).toEqual(
    Array(4).fill([0n, 0]),
  );
});

it('belongs to its team from its first event on: for others there is no such response', async () => {
  const { key } = await stack.team({ grantUsd: '5.00' });
  const other = clientOf(stack, (await stack.team({ grantUsd: '5.00' })).key);
  const events = await read(await clientOf(stack, key).responses.create(asked()), 1);
  const again = { stream: true, starting_after: 1 } as const;
  await expect(other.responses.retrieve(idOf(events), again)).rejects.toMatchObject({ status: 404 });
  await expect(other.responses.cancel(idOf(events))).rejects.toMatchObject({ status: 404 });
  await endOf(stack, idOf(events));
});

it('is lost to no budget by a client that leaves at once', async () => {
  const { key, teamId } = await stack.team({ grantUsd: '5.00' });
  const since = stack.simulator.invoice().line_count;
  const controller = new AbortController();
  const leaving = fetch(`${stack.app.url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(asked()),
    signal: controller.signal,
  });
  await until('its begin', async () => stack.simulator.invoice().line_count > since);
  controller.abort();
  await leaving.then((response) => response.text()).catch(() => {});
  await until('its end', async () => (await readEvents(stack, teamId)).length > 0);
  await expectBill(teamId, since);
});

describe.each([
  ['web_search', [{ type: 'web_search' }]],
  ['code_interpreter', [{ type: 'code_interpreter', container: { type: 'auto', memory_limit: '4g' } }]],
])('with the tool %s', (_, tools) => {
  it('costs its bill, whether it is read to its end or not', async () => {
    for (const last of [1, Number.POSITIVE_INFINITY]) {
      const { key, teamId } = await stack.team({ grantUsd: '50.00' });
      const since = stack.simulator.invoice().line_count;
      const events = await read(await clientOf(stack, key).responses.create(asked({ tools })), last);
      await endOf(stack, idOf(events));
      await expectBill(teamId, since);
    }
  });
});

describe('a stream that breaks off', () => {
  const cut = { headers: { 'x-simulator': 'fault=cut_mid_stream' } };

  it('says so in an event, and where it goes on; nothing of it is lost', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(stack, key);
    const since = stack.simulator.invoice().line_count;
    const before: Event[] = [];
    const lastOf = async (stream: AsyncIterable<Event>) => {
      try {
        for await (const event of stream) before.push(event);
      } catch (error) {
        return error as InstanceType<typeof OpenAI.APIError>;
      }
      const event = before.pop();
      return event?.type === 'error' ? event : null;
    };
    const error = await lastOf(await client.responses.create(asked(), cut));
    const at = before.at(-1)!.sequence_number;
    expect(error).toMatchObject({ code: 'upstream_interrupted' });
    expect(error!.message).toContain(`'stream=true' and 'starting_after=${at}'`);
    const id = idOf(before);
    const again = await lastOf(
      await client.responses.retrieve(id, { stream: true, starting_after: at }, cut),
    );
    expect(again).toMatchObject({ code: 'upstream_interrupted' });
    const resumed = before.at(-1)!.sequence_number;
    before.push(
      ...(await read(await client.responses.retrieve(id, { stream: true, starting_after: resumed }))),
    );
    expect(numbersOf(before)).toEqual(upTo(before.length - 1));
    expect(before.at(-1)?.type).toMatch(/^response\.(?:completed|incomplete)$/);
    await endOf(stack, id);
    await stack.idle();
    await expectBill(teamId, since);
  });

  it('by its cancellation stays at its hold: no usage of it is reported', async () => {
    const { key } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(stack, key);
    const since = stack.simulator.invoice().line_count;
    const events = await read(await client.responses.create(asked()), 2);
    await client.responses.cancel(idOf(events));
    const row = await endOf(stack, idOf(events));
    expect(row).toMatchObject({ state: 'unknown', settled_usd: row.held_usd });
    expect(usd(row.settled_usd!)).toBeGreaterThanOrEqual(billedFor(stack, /^responses/, since));
  });
});

describe('a server that knows no background', () => {
  it.each([
    ['end', 'settled'],
    ['reset', 'unknown'],
  ])('works while the stream lasts: one with the %s is %s', async (then, outcome) => {
    const response = {
      id: 'resp_1',
      object: 'response',
      model: 'gpt-5-mini',
      status: 'in_progress',
      output: [],
    };
    const usage = { input_tokens: 5, output_tokens: 7, total_tokens: 12 };
    const events = [
      { type: 'response.created', sequence_number: 0, response },
      { type: 'response.output_text.delta', sequence_number: 1, delta: 'x' },
      {
        type: 'response.completed',
        sequence_number: 2,
        response: { ...response, status: 'completed', service_tier: 'default', usage },
      },
    ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    const recorder = await startRecorder({
      status: 200,
      headers: ['content-type', 'text/event-stream'],
      body(answer) {
        for (const event of then === 'end' ? events : events.slice(0, 2)) answer.write(event);
        if (then === 'end') answer.end();
        else setTimeout(() => answer.destroy(), 50);
      },
    });
    const own = await startStack({ env: { ...ENV, OPENAI_BASE_URL: recorder.url } });
    try {
      const { key, teamId } = await own.team({ grantUsd: '5.00' });
      const text = await (await own.post(key, '/responses', asked())).text();
      expect(text.startsWith(events.slice(0, 2).join(''))).toBe(true);
      expect(text.includes('upstream_interrupted')).toBe(then === 'reset');
      const [event, ...others] = await readEvents(own, teamId);
      expect(others).toEqual([]);
      expect(event).toMatchObject({ outcome });
      if (then === 'end') expect(event).toMatchObject({ input_tokens: 5, output_tokens: 7 });
      else expect(event!.cost_usd).toBe(event!.hold_usd);
      // Nobody asks how it stands.
      expect(recorder.seen.map(({ path }) => path)).toEqual(['/v1/responses']);
    } finally {
      await own.stop();
      recorder.close();
    }
  });
});
