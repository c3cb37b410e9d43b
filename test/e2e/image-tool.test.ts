/** The tool that makes images inside of a response: held by its calls, settled from what its model used, refused where nothing bounds it. */
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { disagreements, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const stacks: Partial<Record<'normal' | 'worst', Stack>> = {};
beforeAll(async () => {
  stacks.normal = await startStack();
  stacks.worst = await startStack({ simulator: { mode: 'worst' } });
});
afterAll(async () => {
  await stacks.normal?.stop();
  await stacks.worst?.stop();
});

const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const DATA_URL = `data:image/png;base64,${PIXEL}`;
interface Tool {
  type: string;
  [name: string]: unknown;
}
const image = (fields: object = {}): Tool => ({ type: 'image_generation', ...fields });
interface Fields {
  tools?: Tool[];
  max_tool_calls?: number;
  [name: string]: unknown;
}
const asked = (fields: Fields) => ({
  model: 'gpt-5-mini',
  input: 'draw a fox',
  max_output_tokens: 100,
  ...fields,
});
const withImages = [
  {
    role: 'user',
    content: [
      { type: 'input_text', text: 'make it blue' },
      { type: 'input_image', image_url: DATA_URL },
      { type: 'input_image', image_url: 'https://a.example/image.png' },
    ],
  },
];

interface Answer {
  id: string;
  tools: { model?: string }[];
  output: { type: string; result?: string }[];
  error: { code: string; message: string; param: string | null };
}

function sdkOf(stack: Stack, key: string): OpenAI {
  return new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1`, maxRetries: 0 });
}

async function linesOf(stack: Stack, teamId: string) {
  await stack.settled();
  const events = await readEvents(stack, teamId);
  const ids = new Set(events.map(({ id }) => id));
  const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
  return { events, lines };
}

it.each(['normal', 'worst'] as const)('the ledger equals the invoice, in mode %s', async (mode) => {
  const stack = stacks[mode]!;
  const { teamId, key } = await stack.team({ grantUsd: '5000.00' });
  const file = `file_${mode}`;
  await stack.admin('POST', '/objects', { kind: 'file', id: file, team_id: teamId });
  const client = sdkOf(stack, key);
  const bodies = [
    asked({ tools: [image()] }),
    asked({ tools: [{ type: 'function', name: 'f', parameters: { n: 1.0 } }, image()], max_tool_calls: 2 }),
    asked({ tools: [image({ model: 'gpt-image-2', size: '2048x1152', quality: 'low' })] }),
    asked({ tools: [image({ model: 'gpt-image-1-mini', quality: 'medium', size: '1024x1536' })] }),
    asked({
      tools: [image({ model: 'chatgpt-image-latest', background: 'transparent' })],
      input: withImages,
    }),
    asked({ tools: [image({ input_fidelity: 'high', action: 'edit' })], input: withImages }),
    asked({ tools: [image({ input_image_mask: { image_url: DATA_URL } })], input: withImages }),
    asked({
      tools: [image({ model: 'gpt-image-1', input_image_mask: { file_id: file } })],
      max_tool_calls: 1,
    }),
    asked({ tools: [image(), { type: 'web_search' }], max_tool_calls: 3 }),
    asked({ tools: [image()], tool_choice: { type: 'image_generation' }, model: 'gpt-5.6-sol' }),
    asked({ tools: [image()], max_tool_calls: 0 }),
  ];
  for (const body of [...bodies, ...bodies]) {
    const made = await client.responses.create(body as OpenAI.Responses.ResponseCreateParamsNonStreaming);
    expect(made.status).toMatch(/completed|incomplete/);
    const tools = body.tools?.map((tool) =>
      tool.type === 'image_generation' ? { ...tool, partial_images: 2 } : tool,
    );
    const streamed = { ...body, tools, stream: true };
    const stream = await client.responses.create(
      streamed as OpenAI.Responses.ResponseCreateParams as OpenAI.Responses.ResponseCreateParamsStreaming,
    );
    const types = new Set<string>();
    for await (const event of stream) types.add(event.type);
    if (mode === 'worst' && body.max_tool_calls !== 0)
      expect(types).toContain('response.image_generation_call.partial_image');
    const again = {
      ...asked({ tools: [image()], previous_response_id: made.id }),
      input: 'and now in green',
    };
    await client.responses.create(again as OpenAI.Responses.ResponseCreateParamsNonStreaming);
  }
  const { events, lines } = await linesOf(stack, teamId);
  expect(events).toHaveLength(6 * bodies.length);
  expect(disagreements(events, lines, () => false)).toEqual([]);
  expect(lines.some(({ image_generation: made }) => made !== undefined)).toBe(true);
  for (const event of events)
    expect(Number(event.hold_usd), event.id).toBeGreaterThanOrEqual(Number(event.cost_usd));
  const meters = new Set(events.flatMap(({ quantities }) => Object.keys(quantities ?? {})));
  expect(meters).toContain('image_tool_input_tokens');
  expect(meters).toContain('image_tool_output_tokens');
});

it('the model of the images is written in where the request names none, and said', async () => {
  const stack = stacks.worst!;
  const { key } = await stack.team({ grantUsd: '100.00' });
  const tools = [{ type: 'function', name: 'f', parameters: {} }, image()];
  const response = await stack.post(key, '/responses', asked({ tools, max_tool_calls: 1 }));
  const answer = (await response.json()) as Answer;
  expect([response.status, response.headers.get('x-tollgate-image-model')]).toEqual([200, 'gpt-image-1.5']);
  expect(answer.tools.map(({ model }) => model)).toEqual([undefined, 'gpt-image-1.5']);
  expect(answer.output.find(({ type }) => type === 'image_generation_call')?.result).toBe(PIXEL);
  const own = await stack.post(
    key,
    '/responses',
    asked({ tools: [image({ model: 'gpt-image-2' })], max_tool_calls: 1 }),
  );
  expect([own.status, own.headers.get('x-tollgate-image-model')]).toEqual([200, null]);
});

it('images of which a response does not say what they used are charged at the most that each can cost', async () => {
  const stack = stacks.worst!;
  const { teamId, key } = await stack.team({ grantUsd: '100.00' });
  const answer = await stack.post(key, '/responses', asked({ tools: [image()], max_tool_calls: 2 }), {
    'x-simulator': 'image_usage=none',
  });
  expect(answer.status).toBe(200);
  const { events, lines } = await linesOf(stack, teamId);
  const [event] = events;
  expect(event).toMatchObject({ outcome: 'settled', provenance: 'estimated', reason: 'usage_missing' });
  expect(Number(event?.cost_usd)).toBeGreaterThanOrEqual(Number(lines[0]?.cost_pico_usd) / 1e12);
  expect(Number(event?.cost_usd)).toBeLessThanOrEqual(Number(event?.hold_usd));
});

it('what nothing published bounds, and what is not the team’s, is refused and says what would pass', async () => {
  const stack = stacks.normal!;
  const { key } = await stack.team({ grantUsd: '100.00' });
  const nested = { type: 'namespace', name: 'n', tools: [image()] };
  const cases: [Tool | Tool[], number, string, RegExp][] = [
    [image({ frame_count: 9 }), 400, 'tools[0].frame_count', /Remove/],
    [image({ complexity: 'high' }), 400, 'tools[0].complexity', /Remove/],
    [image({ n: 4 }), 400, 'tools[0].n', /Remove/],
    [image({ output_format: 'gif' }), 400, 'tools[0].output_format', /'png'/],
    [image({ quality: 'max' }), 400, 'tools[0].quality', /'low', 'medium' or 'high'/],
    [image({ size: '9999x9999' }), 400, 'tools[0].size', /3,840/],
    [image({ partial_images: 4 }), 400, 'tools[0].partial_images', /0 to 3/],
    [image({ model: null }), 400, 'tools[0].model', /left out/],
    [image({ model: 'gpt-image-2.6-sunburst' }), 400, 'tools[0].model', /administrator can add/],
    [image({ model: 'gpt-5' }), 400, 'tools[0].model', /administrator can add/],
    [image({ input_image_mask: { file_id: 'file_x' } }), 404, 'tools[0].input_image_mask.file_id', /No file/],
    [[image(), image()], 400, 'tools[1]', /Only one/],
    [nested, 400, 'tools[0].tools[0].model', /Name it/],
  ];
  const before = stack.simulator.invoice().line_count;
  for (const [tools, status, param, words] of cases) {
    const response = await stack.post(key, '/responses', asked({ tools: [tools].flat() }));
    const { error } = (await response.json()) as Answer;
    expect([response.status, error.param]).toEqual([status, param]);
    expect(error.message).toMatch(words);
  }
  for (const fields of [{ quality: 'max' }, { output_format: 'svg' }, { svg: { model: 'gpt-5' } }]) {
    const body = { model: 'gpt-image-2', prompt: 'a fox', ...fields };
    const response = await stack.post(key, '/images/generations', body);
    const { error } = (await response.json()) as Answer;
    expect([response.status, error.param]).toEqual([400, Object.keys(fields)[0]]);
  }
  expect(stack.simulator.invoice().line_count).toBe(before);
});

it('a key that may not use the model of the images is refused, and little money buys one image', async () => {
  const stack = stacks.normal!;
  const { teamId, key } = await stack.team({ grantUsd: '1.20' });
  const made = await stack.admin('POST', '/keys', { team_id: teamId, name: 'text', models: ['gpt-5-mini'] });
  const response = await stack.post(String(made.key), '/responses', asked({ tools: [image()] }));
  const { error } = (await response.json()) as Answer;
  expect([response.status, error.code, error.param]).toEqual([403, 'model_not_allowed', 'tools[0].model']);
  const one = await stack.post(key, '/responses', asked({ tools: [image()] }));
  expect([one.status, one.headers.get('x-tollgate-max-tool-calls')]).toEqual([200, '1']);
});
