/** A search that the upstream runs: its fee and each turn that it adds are held, limited as the money allows, and settled. */
import { deflateSync } from 'node:zlib';
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

const search = (fields: object = {}) => ({
  model: 'gpt-5-mini',
  input: 'what is new',
  max_output_tokens: 100,
  tools: [{ type: 'web_search' }],
  ...fields,
});

it.each(['normal', 'worst'] as const)('the ledger equals the invoice, in mode %s', async (mode) => {
  const stack = stacks[mode]!;
  const { teamId, key } = await stack.team({ grantUsd: '1000.00' });
  const requests = [
    search(),
    search({ stream: true }),
    search({ max_tool_calls: 2 }),
    search({ max_tool_calls: 0 }),
    search({ model: 'gpt-4o', tools: [{ type: 'web_search_preview' }] }),
    search({ model: 'gpt-5.6-sol', max_output_tokens: undefined }),
    search({ model: 'gpt-5-search-api', tools: [] }),
  ];
  for (let round = 0; round < 4; round++) {
    for (const body of requests) {
      const response = await stack.post(key, '/responses', body);
      expect([response.status, (await response.text()).slice(0, 0)]).toEqual([200, '']);
    }
  }
  const chat = { model: 'gpt-5-search-api', max_completion_tokens: 50, web_search_options: {} };
  const response = await stack.post(key, '/chat/completions', {
    ...chat,
    messages: [{ role: 'user', content: 'x' }],
  });
  expect(response.status).toBe(200);
  await stack.settled();
  const events = await readEvents(stack, teamId);
  const ids = new Set(events.map(({ id }) => id));
  const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
  expect(events).toHaveLength(29);
  expect(disagreements(events, lines, () => false)).toEqual([]);
  expect(
    events.filter(({ outcome, provenance }) => `${outcome} ${provenance}` !== 'settled reported'),
  ).toEqual([]);
});

it('a limit is written in as the money allows, and said', async () => {
  const stack = stacks.normal!;
  // One search on gpt-5-mini holds $0.01 and a window of 272,000 tokens, $0.068; four hold $0.32.
  for (const [grantUsd, calls] of [
    ['18.00', '4'],
    ['0.20', '2'],
    ['0.10', '1'],
  ] as const) {
    const { key } = await stack.team({ grantUsd });
    const response = await stack.post(key, '/responses', search({ max_tool_calls: null }));
    expect([response.status, response.headers.get('x-tollgate-max-tool-calls')]).toEqual([200, calls]);
    expect(((await response.json()) as { max_tool_calls: number }).max_tool_calls).toBe(Number(calls));
  }
  const { key } = await stack.team({ grantUsd: '18.00' });
  const own = await stack.post(key, '/responses', search({ max_tool_calls: 7 }));
  expect(own.headers.get('x-tollgate-max-tool-calls')).toBeNull();
});

it('where not even one search can be paid the error says how to go on without', async () => {
  const stack = stacks.normal!;
  const { teamId, key } = await stack.team({ grantUsd: '0.05' });
  const response = await stack.post(key, '/responses', search());
  expect(response.status).toBe(400);
  const { error } = (await response.json()) as { error: { code: string; message: string } };
  expect(error.code).toBe('hold_too_large');
  expect(error.message).toMatch(/up to \$0\.078.*Turn web search off/);
  expect((await stack.post(key, '/responses', search({ tools: [] }))).status).toBe(200);
  expect((await readEvents(stack, teamId)).length).toBe(1);
});

const PDF = 'data:application/pdf;base64,JVBERi0xLjQKJcfs';
const CONTENT = deflateSync('BT /F1 12 Tf (A page about budgets.) Tj ET').toString('latin1');
/** Two pages with the same text. */
const READ_PDF = `data:application/pdf;base64,${Buffer.from(
  [
    '%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj',
    '2 0 obj\n<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>\nendobj',
    '3 0 obj\n<< /Type /Page /Parent 2 0 R /Contents 5 0 R >>\nendobj',
    '4 0 obj\n<< /Type /Page /Parent 2 0 R /Contents 5 0 R >>\nendobj',
    `5 0 obj\n<< /Length ${CONTENT.length} /Filter /FlateDecode >>\nstream\n${CONTENT}\nendstream\nendobj`,
    'trailer\n<< /Root 1 0 R >>\n%%EOF\n',
  ].join('\n'),
  'latin1',
).toString('base64')}`;
const user = (...content: object[]) => [{ role: 'user', content }];

it.each(['normal', 'worst'] as const)(
  'a PDF in the request is held by its pages and their text, in mode %s',
  async (mode) => {
    const stack = stacks[mode]!;
    const { teamId, key } = await stack.team({ grantUsd: '100.00' });
    const file = { filename: 'a.pdf', file_data: READ_PDF };
    const models = ['gpt-5-mini', 'gpt-5', 'gpt-5.6-terra', 'gpt-4o-mini'];
    for (const model of models) {
      const chat = { model, max_completion_tokens: 16, messages: user({ type: 'file', file }) };
      expect((await stack.post(key, '/chat/completions', chat)).status).toBe(200);
      const input = user(
        { type: 'input_text', text: 'Sum up.' },
        { type: 'input_file', ...file, detail: 'high' },
      );
      expect((await stack.post(key, '/responses', { model, max_output_tokens: 16, input })).status).toBe(200);
    }
    await stack.settled();
    const events = await readEvents(stack, teamId);
    const ids = new Set(events.map(({ id }) => id));
    const lines = stack.simulator.invoice().lines.filter(({ client_request_id: id }) => ids.has(id ?? ''));
    expect(lines).toHaveLength(2 * models.length);
    expect(disagreements(events, lines)).toEqual([]);
    for (const event of events) {
      expect(Number(event.hold_usd), event.id).toBeGreaterThanOrEqual(Number(event.cost_usd));
      // The model's window is some hundred times as much, or five hundred images.
      expect(Number(event.hold_usd), event.id).toBeLessThan(event.model === 'gpt-4o-mini' ? 0.02 : 0.05);
    }
  },
);

it.each(['normal', 'worst'] as const)(
  'what no byte of the request shows is held and settled: files, prompts, searches of a chat, in mode %s',
  async (mode) => {
    const stack = stacks[mode]!;
    const { teamId, key } = await stack.team({ grantUsd: '1000.00' });
    const chat = (fields: object) => ({ model: 'gpt-5-mini', max_completion_tokens: 100, ...fields });
    const asked = (fields: object) => ({ model: 'gpt-5-mini', max_output_tokens: 100, ...fields });
    const requests: [path: string, body: object][] = [
      ['chat', chat({ messages: user({ type: 'file', file: { filename: 'a.pdf', file_data: PDF } }) })],
      ['chat', chat({ messages: user({ type: 'text', text: 'hi' }), web_search_options: {} })],
      ['responses', asked({ input: user({ type: 'input_file', filename: 'a.pdf', file_data: PDF }) })],
      ['responses', asked({ input: user({ type: 'input_file', file_url: 'https://a.example/a.pdf' }) })],
      ['responses', asked({ input: 'hi', prompt: { id: 'pmpt_1', variables: { a: 'b' } } })],
      [
        'responses',
        asked({
          input: 'hi',
          context_management: [{ type: 'compaction', compact_threshold: 200_000 }],
        }),
      ],
    ];
    for (const [path, body] of requests) {
      const response = await stack.post(key, path === 'chat' ? '/chat/completions' : '/responses', body);
      expect([response.status, response.ok ? '' : await response.text()]).toEqual([200, '']);
    }
    await stack.settled();
    const events = await readEvents(stack, teamId);
    const ids = new Set(events.map(({ id }) => id));
    const lines = stack.simulator.invoice().lines.filter(({ client_request_id: id }) => ids.has(id ?? ''));
    expect(lines).toHaveLength(requests.length);
    expect(disagreements(events, lines)).toEqual([]);
    for (const event of events)
      expect(Number(event.hold_usd), event.id).toBeGreaterThanOrEqual(Number(event.cost_usd));
  },
);
