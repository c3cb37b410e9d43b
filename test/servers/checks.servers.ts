/**
 * Real servers behind Tollgate, one after the other, called by the official SDK: what the ledger says of each call is what
 * the server itself said, to the token; what it did not say is charged, and called so.
 */
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { CONTEXT, disagreements, type House, openHouse, pairsOf } from './house.ts';
import type { ServerKind } from './kind.ts';
import { KINDS } from './kinds.ts';
import { objectsOf } from './recorder.ts';

const installed = inject('servers');
const user = (content: string) => [{ role: 'user' as const, content }];
const WIDE = 'naïve 你好，世界 👩‍👩‍👧 e\u0301 \u{1F600}';
const WEATHER = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 5 } },
      required: ['city'],
    },
  },
};

for (const kind of KINDS) {
  describe.skipIf(installed[kind.name]?.missing !== null)(`${kind.name} (${kind.pins[0]})`, () =>
    check(kind),
  );
}

function check(kind: ServerKind): void {
  const { habits } = kind;
  const has = (operation: string) => habits.limits[operation] !== undefined;
  let house: House;
  let team: Awaited<ReturnType<House['team']>>;
  beforeAll(async () => {
    house = await openHouse([kind]);
    team = await house.team('100.00');
  });
  afterAll(() => house?.close());

  const chat = (body: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> = {}) =>
    team.sdk.chat.completions.create({ model: 'tiny', messages: user('Hello.'), max_tokens: 12, ...body });
  const stream = (body: Partial<OpenAI.ChatCompletionCreateParamsStreaming> = {}) =>
    team.sdk.chat.completions.create({
      ...{ model: 'tiny', messages: user('Tell me a story.'), max_tokens: 12, ...body },
      stream: true,
    });
  /** A response that is not asked to be streamed; returns what came, by its type. */
  const whole = async (body: object) => {
    const response = await house.stack.post(team.key, '/responses', { model: 'tiny', ...body });
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('output_text')]);
    return response.headers.get('content-type')?.split(';')[0];
  };
  /** All calls so far agree; returns the last. */
  const last = async () => {
    const pairs = await pairsOf(house, team.teamId);
    expect(disagreements(pairs)).toEqual([]);
    return pairs.at(-1)!;
  };
  const reported = { outcome: 'settled', provenance: 'reported', reason: null };

  it('is probed, with the verdict that it deserves', async () => {
    await chat();
    if (has('completions'))
      await team.sdk.completions.create({ model: 'tiny', prompt: 'Hello.', max_tokens: 3 });
    if (has('responses')) await whole({ input: 'Hello.', max_output_tokens: 16 });
    const verdicts = async () => {
      const { data } = await house.stack.admin<{ data: { limits: Limit[] }[] }>('GET', '/upstreams');
      const limits = data[0]?.limits ?? [];
      return Object.fromEntries(limits.map(({ operation, state }) => [operation, state]));
    };
    await expect.poll(verdicts, { timeout: 120_000 }).toEqual(habits.limits);
    await last();
  });

  it('ends a chat at these fields alone', async () => {
    const fields = ['max_tokens', 'max_completion_tokens', 'n_predict', 'num_predict', 'max_new_tokens'];
    const obeyed = [];
    for (const field of fields) if (await endsAt(house, kind, field)) obeyed.push(field);
    expect(obeyed).toEqual(habits.limitFields);
  });

  it.each(['max_tokens', 'max_completion_tokens'])('keeps %s, whichever the client says', async (field) => {
    const made = await chat({ max_tokens: undefined, messages: user(field), [field]: 9 } as object);
    expect(made.usage?.completion_tokens).toBeLessThanOrEqual(9);
    const { event, usage } = await last();
    expect(event).toMatchObject({ ...reported, output_tokens: usage?.output });
  });

  it('JSON', async () => {
    const made = await chat();
    const { event, record } = await last();
    expect(event).toMatchObject({
      ...reported,
      input_tokens: made.usage?.prompt_tokens,
      output_tokens: made.usage?.completion_tokens,
    });
    expect(JSON.parse(record?.body ?? '').choices).toEqual(made.choices);
  });

  it('the same prompt again: what it had kept of it is cheaper', async () => {
    const messages = user(`${WIDE} `.repeat(4));
    await chat({ messages });
    const made = await chat({ messages });
    const { event } = await last();
    expect(event.cached_input_tokens).toBe(made.usage?.prompt_tokens_details?.cached_tokens ?? 0);
  });

  it('no limit at all: one is written in', async () => {
    await chat({ max_tokens: undefined } as object);
    const { event, record } = await last();
    expect(event).toMatchObject(reported);
    expect(event.output_limit).toBeLessThanOrEqual(CONTEXT);
    expect(record?.request).toContain('"max_tokens"');
  });

  it.each([false, true])('stream, its usage asked for: %s', async (asked) => {
    const chunks = [];
    const options = asked ? { stream_options: { include_usage: true } } : {};
    for await (const chunk of await stream(options)) chunks.push(chunk);
    const { event, record, usage } = await last();
    const hasUsage = habits.usageInStreams !== 'none';
    expect(usage !== null).toBe(hasUsage);
    expect(event.provenance).toBe(hasUsage ? 'reported' : 'estimated');
    const shown = chunks.filter((chunk) => chunk.usage);
    expect(shown.length > 0).toBe(hasUsage && (asked || habits.usageInStreams === 'last chunk'));
    const text = (list: readonly object[]) =>
      (list as OpenAI.ChatCompletionChunk[]).map(({ choices }) => choices?.[0]?.delta.content ?? '').join('');
    expect(text(chunks)).toBe(text(objectsOf(record?.body ?? '')));
  });

  it('unicode in prompt and answer, streamed and not', async () => {
    const messages = user(`${WIDE} ${'\u{10FFFD}\u0000'.slice(0, 2)} "\\ \n`);
    const whole = await chat({ messages, max_tokens: 40 });
    const { record } = await last();
    expect(JSON.parse(record?.body ?? '').choices[0].message.content).toBe(whole.choices[0]?.message.content);
    let text = '';
    for await (const chunk of await stream({ messages, max_tokens: 40 }))
      text += chunk.choices[0]?.delta.content ?? '';
    expect(text).not.toBe('');
    expect(JSON.parse((await last()).record?.request ?? '').messages).toEqual(messages);
  });

  it('tools are part of its prompt', async () => {
    const plain = await chat();
    const made = await chat({ tools: [WEATHER], tool_choice: 'auto', max_tokens: 40 });
    expect(made.usage?.prompt_tokens).toBeGreaterThan(plain.usage?.prompt_tokens ?? 0);
    await last();
  });

  it('a form for its text', async () => {
    const json_schema = { name: 'place', schema: WEATHER.function.parameters ?? {} };
    const made = await chat({ response_format: { type: 'json_schema', json_schema }, max_tokens: 60 });
    if (habits.structured) {
      expect(JSON.parse(made.choices[0]?.message.content ?? '')).toEqual({ city: expect.any(String) });
    }
    await last();
  });

  it('two choices', async () => {
    const made = await chat({ n: 2 });
    expect(made.choices).toHaveLength(habits.choices);
    const { event, usage } = await last();
    // A bill of one choice where two came is not believed.
    expect(event.output_tokens).toBeGreaterThanOrEqual(usage?.output ?? 0);
  });

  it.runIf(has('completions')).each([false, true])(
    'completions, without a limit; streamed: %s',
    async (streamed) => {
      const body = { model: 'tiny', prompt: 'Once upon a time' };
      if (streamed) {
        for await (const _ of await team.sdk.completions.create({ ...body, stream: true }));
      } else await team.sdk.completions.create(body);
      const { event, usage } = await last();
      expect(event.output_tokens).toBeLessThanOrEqual(16);
      expect(event.provenance).toBe(usage === null ? 'estimated' : 'reported');
    },
  );

  it.runIf(has('responses')).each([false, true])('responses; streamed: %s', async (streamed) => {
    const body = { model: 'tiny', input: 'Once upon a time', max_output_tokens: 20 };
    if (streamed) {
      for await (const _ of await team.sdk.responses.create({ ...body, stream: true }));
    } else expect(await whole(body)).toBe(habits.streamsUnasked ? 'text/event-stream' : 'application/json');
    const { event, usage } = await last();
    expect(event).toMatchObject({ ...reported, output_tokens: usage?.output });
  });

  it.each([0, 1] as const)('a prompt that is longer than its context; streamed: %i', async (streamed) => {
    // Five tokens each; four times as many took mlx-lm sixteen seconds.
    const messages = user('word '.repeat(CONTEXT / 4));
    const response = await house.stack.post(team.key, '/chat/completions', {
      ...{ model: 'tiny', messages, max_tokens: 5 },
      ...(streamed === 1 ? { stream: true } : {}),
    });
    await response.text();
    const { record } = await last();
    expect(record?.status).toBe(habits.overlong[streamed]);
  });

  it('a value of the wrong type', async () => {
    const body = { model: 'tiny', messages: user('Hello.'), max_tokens: 3, temperature: 'hot' };
    await (await house.stack.post(team.key, '/chat/completions', body)).text();
    const { record } = await last();
    expect(record?.status).toBe(habits.wrongType);
  });

  it('a field that lets it write on is refused', async () => {
    const body = { model: 'tiny', messages: user('Hello.'), max_tokens: 3, n_predict: 900 };
    const response = await house.stack.post(team.key, '/chat/completions', body);
    expect(await response.json()).toMatchObject({ error: { code: 'unbounded_request', param: 'n_predict' } });
  });

  it('a client that leaves ends the server’s work, and is charged its hold', async () => {
    for await (const chunk of await stream({ max_tokens: 900 })) if (chunk.choices[0]?.delta.content) break;
    const { event, record } = await last();
    expect(event).toMatchObject({ outcome: 'unknown', cost_usd: event.hold_usd });
    expect(record?.end).toBe('left');
  });

  it('a client that leaves, of a team whose calls are finished: all that it wrote', async () => {
    const finishing = await house.team('1.00', { on_client_gone: 'finish' });
    const body = { model: 'tiny', messages: user('Tell me.'), max_tokens: 60, stream: true } as const;
    for await (const _ of await finishing.sdk.chat.completions.create(body)) break;
    const pairs = await pairsOf(house, finishing.teamId);
    expect(disagreements(pairs)).toEqual([]);
    expect(pairs[0]?.record?.end).toBe('whole');
  });

  it('twenty calls at once', async () => {
    const all = Array.from({ length: 20 }, async (_, at) => {
      const messages = user(`Call ${at}.`);
      if (at % 2 === 0) return chat({ messages });
      for await (const _ of await stream({ messages }));
      return null;
    });
    await Promise.all(all);
    const pairs = await pairsOf(house, team.teamId);
    expect(disagreements(pairs)).toEqual([]);
  });
}

interface Limit {
  operation: string;
  state: string;
}

/** Whether the server, asked directly, ends a chat that could go on at a field's value. */
async function endsAt({ servers }: House, kind: ServerKind, field: string): Promise<boolean> {
  const [server] = servers;
  const response = await fetch(`${server?.recorder.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ model: kind.modelName(inject('model')), messages: user('Tell me a story.'), stream: true },
      ...{ temperature: 0, [field]: 5 },
    }),
  });
  let text = '';
  const decoder = new TextDecoder();
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (pieces(text) > 8) break;
  }
  return pieces(text) > 0 && pieces(text) <= 8;
}

/** Chunks with text. */
function pieces(text: string): number {
  return text.match(/"content": ?"[^"]/g)?.length ?? 0;
}
