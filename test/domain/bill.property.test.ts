/**
 * The bound is at least the bill: for any request that the simulated OpenAI accepts, when it bills the most that its own
 * price list allows. Through real HTTP; the two share no code and no prices.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ApiError } from '../../src/domain/errors.ts';
import { costUpTo, estimate } from '../../src/domain/estimate.ts';
import { type HostedBound, hostedBound } from '../../src/domain/hosted.ts';
import type { Operation } from '../../src/domain/operation.ts';
import { renderBody } from '../../src/openai/request.ts';
import { MODEL_NAMES } from '../../src/simulator/prices.ts';
import { type PostPath, read } from '../openai/read.ts';
import { useSimulator } from '../simulator/client.ts';
import { book, NOW } from './fixtures.ts';

const bench = useSimulator({ mode: 'worst' });

/** Written into calls that set none, as the gateway does. */
const OUTPUT_LIMIT = 300;

const model = fc.constantFrom(...MODEL_NAMES);
const text = fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: 'grapheme', maxLength: 40 }));
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const tier = maybe(fc.constantFrom('auto', 'default', 'flex', 'priority'));
const message = fc.record(
  {
    role: fc.constantFrom('user', 'system', 'assistant'),
    content: text,
    name: fc.constantFrom('bob', 'ann'),
  },
  { requiredKeys: ['role', 'content'] },
);
const tools = maybe(
  fc.array(
    fc.record({
      type: fc.constant('function'),
      function: fc.record({ name: fc.constantFrom('f', 'search'), description: text }),
    }),
    { minLength: 1, maxLength: 3 },
  ),
);
const memory = maybe(fc.constantFrom('1g', '4g', '16g', '64g'));
const hosted = fc.oneof(
  fc.constantFrom('web_search', 'web_search_preview').map((type) => ({ type })),
  fc.constant({ type: 'file_search', vector_store_ids: ['vs_1'] }),
  fc.constant({ type: 'mcp', server_label: 's', server_url: 'https://mcp.example' }),
  fc.constant({ type: 'tool_search' }),
  memory.map((memory_limit) => ({ type: 'code_interpreter', container: { type: 'auto', memory_limit } })),
  fc.record({
    type: fc.constant('image_generation'),
    model: maybe(fc.constantFrom('gpt-image-1', 'gpt-image-1-mini', 'gpt-image-1.5', 'gpt-image-2')),
    size: maybe(fc.constantFrom('auto', '1024x1024', '1024x1536', '1536x1024', '2048x2048')),
    quality: maybe(fc.constantFrom('auto', 'low', 'medium', 'high')),
    partial_images: maybe(fc.integer({ min: 0, max: 3 })),
    input_fidelity: maybe(fc.constantFrom('low', 'high')),
  }),
  memory.map((memory_limit) => ({ type: 'shell', environment: { type: 'container_auto', memory_limit } })),
);
const approval = fc.record({
  type: fc.constant('mcp_approval_response'),
  approval_request_id: fc.constant('mcpr_1'),
  approve: fc.boolean(),
});
const request = fc.oneof(
  fc.record({
    path: fc.constant<PostPath>('responses'),
    body: fc.record({
      model: fc.constantFrom(...MODEL_NAMES.filter((name) => name.startsWith('gpt-'))),
      input: fc.oneof(
        text,
        fc
          .array(approval, { maxLength: 2 })
          .map((approvals) => [{ role: 'user', content: 'x' }, ...approvals]),
      ),
      tools: fc.array(hosted, { minLength: 1, maxLength: 4 }),
      max_tool_calls: maybe(fc.integer({ min: 0, max: 6 })),
      max_output_tokens: maybe(fc.integer({ min: 16, max: 200 })),
      service_tier: tier,
    }),
  }),
  fc.record({
    path: fc.constant<PostPath>('chat/completions'),
    body: fc.record({
      model,
      messages: fc.array(message, { minLength: 1, maxLength: 6 }),
      service_tier: tier,
      tools,
      n: maybe(fc.integer({ min: 1, max: 8 })),
      max_completion_tokens: maybe(fc.integer({ min: 1, max: 200 })),
      prediction: maybe(fc.record({ type: fc.constant('content'), content: text })),
      stream: maybe(fc.boolean()),
    }),
  }),
  fc.record({
    path: fc.constant<PostPath>('responses'),
    body: fc.record({
      model,
      input: text,
      instructions: maybe(text),
      service_tier: tier,
      max_output_tokens: maybe(fc.integer({ min: 16, max: 200 })),
    }),
  }),
  fc.record({
    path: fc.constant<PostPath>('embeddings'),
    body: fc.record({ model, input: fc.array(text, { minLength: 1, maxLength: 4 }) }),
  }),
  fc.record({
    path: fc.constant<PostPath>('completions'),
    body: fc.record({
      model,
      prompt: fc.array(text, { minLength: 1, maxLength: 3 }),
      best_of: maybe(fc.integer({ min: 1, max: 6 })),
      max_tokens: maybe(fc.integer({ min: 1, max: 60 })),
    }),
  }),
);

/** The bound of the tools that a call asks for, two calls where it sets no limit. */
function hostedOf({ hosted, model, beyondText }: Operation): HostedBound | ApiError | null {
  if (hosted === null) return null;
  return hostedBound(hosted, book, { model: model ?? '', atMs: NOW, callsWrittenIn: 2, beyondText });
}

test('no request that is accepted is billed above its bound, even by an upstream that always bills the most', async () => {
  let billed = 0;
  await fc.assert(
    fc.asyncProperty(request, async ({ path, body: asked }) => {
      const parsed = read(path, asked);
      if ('code' in parsed || !parsed.operation.billable) return;
      const card = book.find(parsed.operation.model!, NOW);
      const hosted = hostedOf(parsed.operation);
      if (hosted !== null && 'code' in hosted) return;
      const bound = estimate(parsed.operation, card, { strict: true, hosted });
      if ('code' in bound) return;
      const body = renderBody(parsed, {
        serviceTier: parsed.operation.serviceTier === null ? 'default' : undefined,
        outputLimit: bound.openEnded ? OUTPUT_LIMIT : undefined,
        maxToolCalls: hosted !== null && parsed.operation.hosted?.calls === null ? hosted.calls : undefined,
      });
      const answer = await bench.post(`/${path}`, body.toString());
      await answer.text();
      if (!answer.ok) return;
      billed++;
      const most = costUpTo(bound, bound.outputTokensPerChoice ?? OUTPUT_LIMIT);
      const line = bench.lastLine();
      expect(BigInt(line.cost_pico_usd) <= most, `${JSON.stringify(line)} is above ${most}`).toBe(true);
    }),
    { numRuns: 600 },
  );
  expect(billed).toBeGreaterThan(100);
}, 120_000);
