/** The dialects of upstreams, over real HTTP: Azure's two kinds of paths, and servers that differ from OpenAI, in one file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { disagreements, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const folder = mkdtempSync(join(tmpdir(), 'tollgate-dialects-'));
const DEPLOYMENTS = { ours: 'gpt-4.1', small: 'gpt-4.1-mini', vectors: 'text-embedding-3-small' };
let azure: Simulator;
let server: Simulator;
let stack: Stack;
let key: string;

beforeAll(async () => {
  [azure, server] = await Promise.all([
    startSimulator({ deployments: DEPLOYMENTS, apiKey: 'azure-key' }),
    startSimulator({ profile: { limitNames: 'max_tokens', usageReports: 'never' } }),
  ]);
  const path = join(folder, 'tollgate.yaml');
  writeFileSync(
    path,
    `upstreams:
  - name: v1
    kind: azure
    base_url: ${azure.url}
    key: azure-key
    model_names: { gpt-4.1: ours, gone: gone, text-embedding-3-small: vectors }
    prices: { gone: { input: '1', output: '1', max_output_tokens: 100 } }
  - name: by-path
    kind: azure
    base_url: ${azure.url.replace('/v1', '')}
    api_version: 2024-10-21
    key: azure-key
    model_names: { gpt-4.1-mini: small }
  - name: gpu
    kind: compatible
    base_url: ${server.url}
    models: [gpt-4o-mini]
    usage_in_streams: false
    has_responses: false
    price_percent: 0
    max_output_tokens: 20000
    key: sk-gpu
    headers: { x-tenant: one }
`,
  );
  stack = await startStack({ env: { TOLLGATE_CONFIG_FILE: path } });
  ({ key } = await stack.team({ grantUsd: '100.00' }));
});
afterAll(async () => {
  await stack.stop();
  await Promise.all([azure.close(), server.close()]);
  rmSync(folder, { recursive: true });
});

const chat = (model: string, fields: object = {}) =>
  stack.post(key, '/chat/completions', { model, messages: [{ role: 'user', content: 'hi' }], ...fields });

describe('azure', () => {
  it.each(['gpt-4.1', 'gpt-4.1-mini'])('%s is served by its deployment, streamed and not', async (model) => {
    const whole = await chat(model);
    expect(whole.status).toBe(200);
    expect(((await whole.json()) as { model: string }).model).toContain(model);
    const stream = await (await chat(model, { stream: true })).text();
    // Its first chunk has no choice; the usage was asked for by the gateway alone.
    expect(stream).toContain('prompt_filter_results');
    expect(stream).toContain('[DONE]');
    expect(stream).not.toContain('"prompt_tokens"');
  });

  it('embeddings and responses are its too', async () => {
    const input = { model: 'text-embedding-3-small', input: 'one' };
    expect((await stack.post(key, '/embeddings', input)).status).toBe(200);
    expect((await stack.post(key, '/responses', { model: 'gpt-4.1', input: 'hi' })).status).toBe(200);
  });

  it('an error in its own form costs nothing', async () => {
    const response = await chat('gone');
    expect(response.status).toBe(404);
    expect(await response.text()).toContain('DeploymentNotFound');
  });

  it('ledger and invoice are equal', async () => {
    await stack.idle();
    const events = (await readEvents(stack)).filter(({ upstream }) => upstream !== 'gpu');
    expect(disagreements(events, azure.invoice().lines)).toEqual([]);
    expect(events.filter(({ upstream }) => upstream === 'by-path')).toHaveLength(2);
    expect(events.find(({ model }) => model === 'gone')).toMatchObject({
      outcome: 'voided',
      cost_usd: '0.00',
    });
  });
});

describe('a server of its own kind', () => {
  it('costs nothing by the token, and gets a limit under the name that it reads', async () => {
    const { choices } = (await (await chat('gpt-4o-mini', { max_completion_tokens: 9 })).json()) as {
      choices: { finish_reason: string }[];
    };
    expect(choices).toHaveLength(1);
    const stream = await (await chat('gpt-4o-mini', { stream: true, max_completion_tokens: 9 })).text();
    expect(stream).toContain('[DONE]');
    await stack.idle();
    const events = (await readEvents(stack)).filter(({ upstream }) => upstream === 'gpu');
    expect(events).toHaveLength(2);
    for (const event of events) expect(usd(event.cost_usd)).toBe(0n);
    const lines = server
      .invoice()
      .lines.filter(({ client_request_id: id }) => events.some((each) => each.id === id));
    for (const line of lines) expect(line.usage.output_tokens).toBeLessThanOrEqual(9);
  });

  it('is probed for the models that may be called there, and for no other that it lists', async () => {
    const probed = async () => {
      const { data } = await stack.admin<{ data: { name: string; limits: { model: string }[] }[] }>(
        'GET',
        '/upstreams',
      );
      return data.find(({ name }) => name === 'gpu')?.limits.map(({ model }) => model) ?? [];
    };
    await expect.poll(probed, { timeout: 20_000 }).not.toEqual([]);
    expect(new Set(await probed())).toEqual(new Set(['gpt-4o-mini']));
  });

  it('without /responses it is not asked for one', async () => {
    const response = await stack.post(key, '/responses', { model: 'gpt-4o-mini', input: 'hi' });
    expect(response.status).toBe(404);
    expect(await response.text()).toContain('No upstream serves');
  });
});
