import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Stack, startStack } from './stack.ts';

/** The part of OTLP/JSON that is looked at. */
interface Attribute {
  key: string;
  value: { stringValue?: string; intValue?: number | string; doubleValue?: number };
}
interface Span {
  name: string;
  kind: number;
  traceId: string;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  status: { code?: number };
}
interface Point {
  attributes: Attribute[];
  count: number | string;
  sum: number;
}

interface Exported {
  resourceSpans?: { resource: { attributes: Attribute[] }; scopeSpans: { spans: Span[] }[] }[];
  resourceMetrics?: { scopeMetrics: { metrics: { name: string; histogram: { dataPoints: Point[] } }[] }[] }[];
}

const spans: Span[] = [];
let resource: { attributes: Attribute[] } | undefined;
const metrics = new Map<string, Point[]>();
let collector: Server;
let stack: Stack;

beforeAll(async () => {
  collector = createServer(async (request, response) => {
    const body = (await json(request)) as Exported;
    for (const { scopeSpans, resource: of } of body.resourceSpans ?? []) {
      resource = of;
      for (const scope of scopeSpans) spans.push(...scope.spans);
    }
    for (const { scopeMetrics } of body.resourceMetrics ?? [])
      for (const scope of scopeMetrics)
        for (const { name, histogram } of scope.metrics) metrics.set(name, histogram.dataPoints);
    response.setHeader('content-type', 'application/json').end('{}');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => collector.once('listening', resolve));
  const { port } = collector.address() as AddressInfo;
  stack = await startStack({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}/`,
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=tollgate-eu, deployment.environment.name=staging%2C%20Berlin,',
    },
  });
});
afterAll(() => new Promise((resolve) => collector.close(resolve)));

function attributesOf(of: { attributes: Attribute[] } | undefined): Record<string, unknown> {
  const entries = of?.attributes.map(({ key, value }) => [key, Object.values(value)[0]]) ?? [];
  return Object.fromEntries(entries);
}

const TRACE = '0af7651916cd43dd8448eb211c80319c';

it('sends a span of each call, below the caller’s, and the metrics of the conventions', async () => {
  const { key } = await stack.team({ grantUsd: '1.00' });
  const call = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };
  const beforeMs = Date.now();
  const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;
  const response = await stack.post(key, '/chat/completions', call, { traceparent });
  const { usage } = (await response.json()) as {
    usage: { prompt_tokens: number; completion_tokens: number };
  };
  const denied = await stack.post(key, '/chat/completions', { ...call, model: 'no-such-model' });
  expect(denied.status).toBe(400);
  await stack.post(key, '/chat/completions', call, { traceparent: `00-${TRACE}-b7ad6b7169203331-00` });
  await (await stack.post(key, '/responses', { model: 'gpt-4.1', input: 'hello', stream: true })).text();
  await stack.idle();
  await stack.stop();
  await vi.waitFor(() => expect(spans.length).toBeGreaterThan(1), 30_000);

  expect(attributesOf(resource)).toMatchObject({
    'service.name': 'tollgate-eu',
    'service.version': 'test',
    'deployment.environment.name': 'staging, Berlin',
  });
  const span = spans.find(({ traceId }) => traceId === TRACE);
  expect(span).toMatchObject({ name: 'chat gpt-4o-mini', kind: 3, parentSpanId: 'b7ad6b7169203331' });
  const attributes = attributesOf(span);
  expect(attributes).toMatchObject({
    'gen_ai.provider.name': 'openai',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'gpt-4o-mini',
    'gen_ai.usage.input_tokens': usage.prompt_tokens,
    'gen_ai.usage.output_tokens': usage.completion_tokens,
    'http.response.status_code': 200,
    'tollgate.outcome': 'settled',
    'tollgate.cost_usd': response.headers.get('x-tollgate-cost-usd'),
    'tollgate.event.id': response.headers.get('x-tollgate-request-id'),
  });
  expect(attributes['tollgate.stage_us.forward']).toBeGreaterThan(0);
  const [startMs, endMs] = [span?.startTimeUnixNano, span?.endTimeUnixNano].map((ns) => Number(ns) / 1e6);
  expect(startMs).toBeGreaterThan(beforeMs - 1_000);
  expect(endMs).toBeGreaterThan(startMs ?? 0);
  // The caller had not sampled the third call.
  expect(spans.filter(({ traceId }) => traceId === TRACE)).toHaveLength(1);

  const refused = spans.find(({ status }) => status.code === 2);
  expect(refused?.name).toBe('chat');
  expect(attributesOf(refused)).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'tollgate.operation': 'chat.completions',
    'error.type': 'unknown_price',
    'http.response.status_code': 400,
  });

  const tokens = metrics.get('gen_ai.client.token.usage') ?? [];
  const input = tokens.find((point) => attributesOf(point)['gen_ai.token.type'] === 'input');
  expect(input).toMatchObject({ count: 2, sum: 2 * usage.prompt_tokens });
  expect(attributesOf(input)).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'gpt-4o-mini',
  });
  expect(metrics.get('gen_ai.client.operation.duration')?.[0]).toMatchObject({ count: 2 });
  // Of the stream alone.
  const [first, ...others] = metrics.get('gen_ai.server.time_to_first_token') ?? [];
  expect(first).toMatchObject({ count: 1 });
  expect(attributesOf(first)['gen_ai.request.model']).toBe('gpt-4.1');
  expect(others).toEqual([]);
});

it('calls go on, and the gateway stops, when the collector is away', async () => {
  const alone = await startStack({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' } });
  const { key } = await alone.team({ grantUsd: '1.00' });
  const response = await alone.post(key, '/chat/completions', {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'hello' }],
  });
  expect(response.status).toBe(200);
  await response.text();
  await alone.stop();
});
