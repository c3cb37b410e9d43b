/** Items of the input by which the upstream would read what it keeps for another team. */
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PostgresObjectStore } from '../../src/store/hot/objects.ts';
import { clientOf, endOf } from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  const env = { TOLLGATE_JOB_POLL_MS: '100' };
  stack = await startStack({ env, simulator: { mode: 'worst', profile: { jobMs: 50 } } });
});
afterAll(async () => {
  await stack.stop();
});

type Asked = OpenAI.Responses.ResponseCreateParamsNonStreaming;
type Item = OpenAI.Responses.ResponseOutputItem;

const asked = (input: unknown, fields: object = {}) =>
  ({ model: 'gpt-5-mini', input, max_output_tokens: 50, ...fields }) as Asked;
const asksAfter = (item: unknown) => asked([item, { role: 'user', content: 'What did it say?' }]);

const TOOLS: [Item['type'], object][] = [
  ['web_search_call', { type: 'web_search' }],
  ['code_interpreter_call', { type: 'code_interpreter', container: { type: 'auto' } }],
  ['file_search_call', { type: 'file_search', vector_store_ids: ['vs_of_a_team'] }],
];

describe.each(TOOLS)('a %s', (type, tool) => {
  it.each([
    ['a response that was waited for', false],
    ['a response in the background', true],
  ])('of %s is read by its own team alone', async (_, background) => {
    const own = await stack.team({ grantUsd: '500.00' });
    await stack.admin('POST', '/objects', { kind: 'vector_store', id: 'vs_of_a_team', team_id: own.teamId });
    const client = clientOf(stack, own.key);
    const made = await client.responses.create(asked('Look it up.', { tools: [tool], background }));
    if (background) await endOf(stack, made.id);
    await stack.settled();
    const { output } = background ? await client.responses.retrieve(made.id) : made;
    const item = output.find((each) => each.type === type)!;
    const other = clientOf(stack, (await stack.team({ grantUsd: '500.00' })).key);
    const since = stack.simulator.invoice().line_count;
    await expect(other.responses.create(asksAfter(item))).rejects.toMatchObject({
      ...{ status: 404, code: 'not_found', param: 'input[0].id' },
    });
    expect(stack.simulator.invoice().line_count).toBe(since);
    // Its own may send it along, or name it; and what no team is known to have is what its client says.
    for (const input of [item, { type: 'item_reference', id: item.id! }])
      expect((await client.responses.create(asksAfter(input))).status).toMatch(/^(?:completed|incomplete)$/);
    const strange = { ...item, id: `${item.id}_of_no_team` };
    expect((await other.responses.create(asksAfter(strange))).status).toMatch(/^(?:completed|incomplete)$/);
  });
});

it('a call of a tool in a response that is not stored is sent along without a look into Postgres', async () => {
  const client = clientOf(stack, (await stack.team({ grantUsd: '500.00' })).key);
  const unstored = { store: false };
  const made = await client.responses.create(
    asked('Look it up.', { tools: [{ type: 'web_search' }], ...unstored }),
  );
  const item = made.output.find(({ type }) => type === 'web_search_call')!;
  const looks = vi.spyOn(PostgresObjectStore.prototype, 'findItems');
  const next = (sent: object) => client.responses.create({ ...asksAfter(sent), ...unstored } as Asked);
  await next(item);
  expect(looks).not.toHaveBeenCalled();
  // Of what no response here has shown it is asked, once.
  await next({ ...item, id: `${item.id}_of_no_team` });
  expect(looks).toHaveBeenCalledTimes(1);
  // By its id alone it is no item that is kept.
  const reference = { type: 'item_reference', id: item.id! };
  await expect(next(reference)).rejects.toMatchObject({ status: 404, param: 'input[0].id' });
});

it('an item that was put into a conversation may be named by its team alone, at its bytes', async () => {
  const client = clientOf(stack, (await stack.team({ grantUsd: '500.00' })).key);
  const { id } = await client.conversations.create();
  const items = [{ role: 'user' as const, content: 'a'.repeat(40_000) }];
  const { data } = await client.conversations.items.create(id, { items });
  const named = asksAfter({ type: 'item_reference', id: data[0]!.id! });
  const { data: stream, response } = await client.responses
    .create({ ...named, stream: true } as unknown as OpenAI.Responses.ResponseCreateParamsStreaming)
    .withResponse();
  for await (const event of stream) expect(event.type).not.toBe('response.failed');
  // $0.25 for a million tokens; the window would be $0.068.
  const hold = Number(response.headers.get('x-tollgate-hold-usd'));
  expect(hold).toBeGreaterThan(0.01);
  expect(hold).toBeLessThan(0.011);
  const other = clientOf(stack, (await stack.team({ grantUsd: '500.00' })).key);
  await expect(other.responses.create(named)).rejects.toMatchObject({ status: 404, param: 'input[0].id' });
});
