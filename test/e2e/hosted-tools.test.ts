/** Tools that the upstream runs: their fees, sessions of containers and each turn are held, limited as money allows, and settled. */
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

const asked = (fields: object) => ({ model: 'gpt-5-mini', input: 'hi', max_output_tokens: 100, ...fields });
const MCP = { type: 'mcp', server_label: 's', server_url: 'https://mcp.example', require_approval: 'never' };
const python = (fields: object = {}) => ({
  type: 'code_interpreter',
  container: { type: 'auto', ...fields },
});
const SHELL = { type: 'shell', environment: { type: 'container_auto' } };

interface Answer {
  output: { type: string; container_id?: string }[];
  error: { code: string; message: string; param: string | null };
}

async function send(stack: Stack, key: string, body: object): Promise<{ status: number; text: string }> {
  const response = await stack.post(key, '/responses', body);
  return { status: response.status, text: await response.text() };
}

it.each(['normal', 'worst'] as const)('the ledger equals the invoice, in mode %s', async (mode) => {
  const stack = stacks[mode]!;
  const { teamId, key } = await stack.team({ grantUsd: '5000.00' });
  const store = `vs_${mode}`;
  await stack.admin('POST', '/objects', { kind: 'vector_store', id: store, team_id: teamId });
  const files = { type: 'file_search', vector_store_ids: [store] };
  const requests = [
    asked({ tools: [files] }),
    asked({ tools: [files], stream: true }),
    asked({ tools: [files, { type: 'web_search' }], max_tool_calls: 3 }),
    asked({ tools: [python()] }),
    asked({ tools: [python({ memory_limit: '4g' })], stream: true }),
    asked({ tools: [SHELL, python(), files, MCP], max_tool_calls: 5 }),
    asked({ tools: [MCP], max_tool_calls: 0 }),
    asked({ tools: [MCP], model: 'gpt-5.6-sol', stream: true, max_output_tokens: undefined }),
    asked({
      tools: [MCP],
      max_tool_calls: 0,
      input: [
        { role: 'user', content: 'hi' },
        { type: 'mcp_approval_response', approval_request_id: 'mcpr_1', approve: true },
      ],
    }),
    asked({ tools: [{ type: 'tool_search' }] }),
  ];
  for (let round = 0; round < 3; round++) {
    for (const body of requests) {
      const { status, text } = await send(stack, key, body);
      expect([status, status === 200 ? '' : text]).toEqual([200, '']);
    }
  }
  await stack.settled();
  const events = await readEvents(stack, teamId);
  const ids = new Set(events.map(({ id }) => id));
  const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
  expect(events).toHaveLength(30);
  expect(disagreements(events, lines, () => false)).toEqual([]);
  const meters = new Set(events.flatMap(({ quantities }) => Object.keys(quantities ?? {})));
  if (mode === 'worst')
    expect([...meters].sort()).toEqual(['container_sessions', 'file_search_calls', 'web_search_calls']);
  for (const event of events)
    expect(Number(event.hold_usd), event.id).toBeGreaterThanOrEqual(Number(event.cost_usd));
});

const allowing = (...tools: object[]) => ({ type: 'allowed_tools', mode: 'auto', tools });

it.each(['normal', 'worst'] as const)(
  'tools that a prompt template brings are held for as far as the request lets them be called, in mode %s',
  async (mode) => {
    const stack = stacks[mode]!;
    const { teamId, key } = await stack.team({ grantUsd: '5000.00' });
    const prompt = { id: 'pmpt_web_search', variables: { a: 'b' } };
    const search = { type: 'web_search' };
    const named = allowing({ type: 'function', name: 'f' }, search);
    const requests = [
      asked({ prompt, tool_choice: 'none' }),
      asked({ prompt }),
      asked({ prompt: { id: 'pmpt_python' }, tools: [{ type: 'function', name: 'f', parameters: {} }] }),
      asked({ prompt, tools: [search, MCP], max_tool_calls: 2 }),
      asked({ prompt: { id: 'pmpt_python' }, tool_choice: 'none', stream: true }),
      asked({ prompt: { id: 'pmpt_python' }, tool_choice: allowing() }),
      asked({ prompt, tool_choice: allowing(search) }),
      asked({ prompt, tool_choice: named, max_tool_calls: 2, stream: true }),
      asked({ prompt, tool_choice: allowing(search), model: 'gpt-5.6-sol', max_output_tokens: undefined }),
      asked({ prompt, tool_choice: allowing(search, { type: 'mcp', server_label: 's' }), tools: [MCP] }),
    ];
    for (const body of [...requests, ...requests]) {
      const { status, text } = await send(stack, key, body);
      expect([status, status === 200 ? '' : text]).toEqual([200, '']);
    }
    await stack.settled();
    const events = await readEvents(stack, teamId);
    const ids = new Set(events.map(({ id }) => id));
    const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
    expect(lines).toHaveLength(2 * requests.length);
    expect(disagreements(events, lines, () => false)).toEqual([]);
    for (const event of events)
      expect(Number(event.hold_usd), event.id).toBeGreaterThanOrEqual(Number(event.cost_usd));
    if (mode !== 'worst') return;
    const searches = events.slice(0, requests.length).map(({ quantities }) => quantities?.web_search_calls);
    expect(searches).toEqual([...new Array(3).fill(undefined), 2, ...[undefined, undefined, 4, 2, 4, 3]]);
  },
);

it('a prompt template whose tools nothing bounds is refused before it is sent, with what would pass', async () => {
  const stack = stacks.worst!;
  const { key } = await stack.team({ grantUsd: '1000.00' });
  const place = 'tool_choice.tools[0]';
  const cases: [object, string, RegExp][] = [
    [{ tools: [{ type: 'local_shell' }] }, 'prompt', /'tool_choice' to 'none'/],
    [{ tool_choice: null }, 'prompt', /'tool_choice' to 'none'/],
    [{ tools: [], tool_choice: 'auto' }, 'prompt', /allowed_tools/],
    [{ tools: [{ type: 'web_search' }], tool_choice: { type: 'web_search' } }, 'prompt', /allowed_tools/],
    [{ tool_choice: 'required', background: true }, 'prompt', /allowed_tools/],
    [{ tool_choice: { type: 'allowed_tools' } }, 'tool_choice.tools', /array/],
    ...['code_interpreter', 'shell', 'image_generation', 'file_search', 'brand_new'].map(
      (type): [object, string, RegExp] => [{ tool_choice: allowing({ type }) }, place, /leave 'prompt' out/],
    ),
  ];
  const before = stack.simulator.invoice().line_count;
  for (const [fields, param, words] of cases) {
    const { status, text } = await send(stack, key, asked({ prompt: { id: 'pmpt_web_search' }, ...fields }));
    const { error } = JSON.parse(text) as Answer;
    expect([status, error.param]).toEqual([400, param]);
    expect(error.message).toMatch(words);
  }
  expect(stack.simulator.invoice().line_count).toBe(before);
});

it('an item that brings tools of the upstream is held, and not kept where later calls would have them', async () => {
  const stack = stacks.worst!;
  const { teamId, key } = await stack.team({ grantUsd: '1000.00' });
  const added = { type: 'additional_tools', role: 'developer', tools: [{ type: 'web_search' }] };
  const said = { role: 'user', content: 'hi' };
  const created = await stack.post(key, '/conversations', { items: [said] });
  const { id } = (await created.json()) as { id: string };
  const cases: [string, object, string][] = [
    ['/responses', asked({ input: [added, said] }), 'input[0].tools[0]'],
    ['/responses', asked({ input: [said, added], store: false, conversation: id }), 'input[1].tools[0]'],
    ['/conversations', { items: [said, added] }, 'items[1].tools[0]'],
    [`/conversations/${id}/items`, { items: [added] }, 'items[0].tools[0]'],
    [
      `/conversations/${id}/items`,
      { items: [{ type: 'tool_search_output', tools: [{ type: 'namespace', name: 'n', tools: [MCP] }] }] },
      'items[0].tools[0].tools[0]',
    ],
  ];
  for (const [path, body, param] of cases) {
    const response = await stack.post(key, path, body);
    const { error } = (await response.json()) as Answer;
    expect([response.status, error.code, error.param]).toEqual([400, 'unbounded_request', param]);
    expect(error.message).toMatch(/'store': false/);
  }
  const own = { ...added, tools: [{ type: 'function', name: 'f', parameters: {} }] };
  expect((await stack.post(key, `/conversations/${id}/items`, { items: [own] })).status).toBe(200);
  expect((await send(stack, key, asked({ input: [added, said], store: false }))).status).toBe(200);
  await stack.settled();
  const events = (await readEvents(stack, teamId)).filter(({ operation }) => operation === 'responses');
  const ids = new Set(events.map(({ id: event }) => event));
  const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
  expect(lines).toHaveLength(1);
  expect(disagreements(events, lines, () => false)).toEqual([]);
  expect(events[0]?.quantities?.web_search_calls).toBe(4);
  expect(Number(events[0]?.hold_usd)).toBeGreaterThanOrEqual(Number(events[0]?.cost_usd));
});

it('a container is billed once in a session, whoever names it', async () => {
  const stack = stacks.worst!;
  const { teamId, key } = await stack.team({ grantUsd: '1000.00' });
  const { text } = await send(stack, key, asked({ tools: [python({ memory_limit: '16g' })] }));
  const { output } = JSON.parse(text) as Answer;
  const container = output.find(({ type }) => type === 'code_interpreter_call')?.container_id;
  const again = asked({ tools: [{ type: 'code_interpreter', container }], stream: true });
  expect((await send(stack, key, again)).status).toBe(200);
  const { key: stranger } = await stack.team({ grantUsd: '1000.00' });
  const refused = await send(stack, stranger, again);
  const { error } = JSON.parse(refused.text) as Answer;
  expect([refused.status, error.code, error.param]).toEqual([404, 'not_found', 'tools[0].container']);
  await stack.settled();
  const events = await readEvents(stack, teamId);
  const ids = new Set(events.map(({ id }) => id));
  const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
  expect(disagreements(events, lines, () => false)).toEqual([]);
  expect(events.map(({ quantities }) => quantities?.container_sessions ?? 0)).toEqual([16, 0]);
  // Its memory is known from its first call: 16 GiB are held, not the most that a container can have.
  const [first, second] = events.map(({ hold_usd: held }) => Number(held));
  expect(Math.abs((first ?? 0) - (second ?? 0))).toBeLessThan(0.01);
});

it("another team's store is 404, and what cannot be bounded says what would pass", async () => {
  const stack = stacks.normal!;
  const { key } = await stack.team({ grantUsd: '100.00' });
  const cases: [object, number, string, RegExp][] = [
    [{ type: 'file_search', vector_store_ids: ['vs_other'] }, 404, 'tools[0].vector_store_ids[0]', /adm/],
    [{ type: 'file_search' }, 400, 'tools[0].vector_store_ids', /array of ids/],
    [{ type: 'code_interpreter', container: 'cntr_other' }, 404, 'tools[0].container', /No container/],
    [python({ memory_limit: '2g' }), 400, 'tools[0].container.memory_limit', /1g, 4g, 16g, 64g/],
    [python({ file_ids: ['file-x'] }), 404, 'tools[0].container.file_ids[0]', /No file/],
    [
      python({ skills: [{ type: 'skill_reference', skill_id: 's' }] }),
      404,
      'tools[0].container.skills[0].skill_id',
      /No skill/,
    ],
    [
      python({ skills: [{ type: 'brand_new' }] }),
      400,
      'tools[0].container.skills[0]',
      /'inline' or 'skill_reference'/,
    ],
    [{ type: 'brand_new' }, 400, 'tools[0]', /cannot be bounded/],
  ];
  const before = stack.simulator.invoice().line_count;
  for (const [tool, status, param, words] of cases) {
    const { status: got, text } = await send(stack, key, asked({ tools: [tool] }));
    const { error } = JSON.parse(text) as Answer;
    expect([got, error.param]).toEqual([status, param]);
    expect(error.message).toMatch(words);
  }
  expect(stack.simulator.invoice().line_count).toBe(before);
});

it('as many calls are written in as the money allows', async () => {
  const stack = stacks.normal!;
  // A session and a window of 272,000 tokens a call: $0.03 + $0.0682 for one, $0.03 + 4 × $0.068 for four.
  for (const [grantUsd, calls] of [
    ['18.00', '4'],
    ['0.20', '2'],
    ['0.11', '1'],
  ] as const) {
    const { key } = await stack.team({ grantUsd });
    const response = await stack.post(key, '/responses', asked({ tools: [python()] }));
    expect([response.status, response.headers.get('x-tollgate-max-tool-calls')]).toEqual([200, calls]);
    expect(((await response.json()) as { max_tool_calls: number }).max_tool_calls).toBe(Number(calls));
  }
  const { key } = await stack.team({ grantUsd: '0.05' });
  const { status, text } = await send(stack, key, asked({ tools: [python()] }));
  expect([status, (JSON.parse(text) as Answer).error.message]).toEqual([
    400,
    expect.stringMatching(/Leave that tool out, give a lower 'max_tool_calls'/),
  ]);
});
