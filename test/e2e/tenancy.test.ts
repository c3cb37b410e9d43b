/**
 * Tenants apart: what one team makes upstream another can neither name nor see. The table of operations says what each of
 * them names, so that none can be forgotten; the simulator says what was forwarded.
 */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATIONS } from '../../src/openai/operations/table.ts';
import { openSocket } from '../simulator/socket.ts';
import { type Stack, startStack } from './stack.ts';
import { attemptsOf, form, meteredBodies, namesObject, placeOf } from './strangers.ts';

let stack: Stack;
let key: string;
let teamId: string;
let strangerKey: string;
let strangerId: string;

beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_FREE_CALLS_PER_MINUTE: '100000' } });
  ({ key, teamId } = await stack.team({ grantUsd: '100.00' }));
  ({ key: strangerKey, teamId: strangerId } = await stack.team({ grantUsd: '100.00' }));
});
afterAll(() => stack.stop());

interface Reply {
  status: number;
  body: Record<string, unknown> & {
    id: string;
    data: { id: string }[];
    has_more: boolean;
    last_id: string | null;
    error: { code: string; message: string; param: string | null };
  };
}

async function call(by: string, method: string, path: string, body?: unknown): Promise<Reply> {
  const isForm = body instanceof FormData;
  const response = await fetch(`${stack.app.url}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${by}`,
      ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : { text } };
}

async function ok(by: string, method: string, path: string, body?: unknown): Promise<Reply['body']> {
  const reply = await call(by, method, path, body);
  expect([path, reply.status, reply.body.error ?? null]).toEqual([path, 200, null]);
  return reply.body;
}

const upload = (by: string, content = '{}\n') =>
  ok(by, 'POST', '/files', form({ purpose: 'user_data', file: content }));
const adopt = (kind: string, id: string, team: string | null) =>
  stack.admin('POST', '/objects', { kind, id, team_id: team });
/** What was forwarded for clients; the gateway itself asks how jobs stand. */
const lines = () => stack.simulator.invoice().lines.filter(({ client_request_id: id }) => id !== null).length;

/** Ids of each kind that the team owns, made through the gateway, or given to it where that cannot be. */
async function objectsOf(by: string, team: string): Promise<Record<string, string>> {
  const response = await ok(by, 'POST', '/responses', {
    model: 'gpt-5-mini',
    input: 'hi',
    max_output_tokens: 64,
  });
  const completion = await ok(by, 'POST', '/chat/completions', {
    model: 'gpt-5-mini',
    messages: [{ role: 'user', content: 'hi' }],
    max_completion_tokens: 64,
    store: true,
  });
  const conversation = await ok(by, 'POST', '/conversations', {});
  const { id: file } = await upload(by);
  const pending = await ok(by, 'POST', '/uploads', {
    ...{ purpose: 'user_data', filename: 'b', bytes: 3, mime_type: 'text/plain' },
  });
  const part = await ok(by, 'POST', `/uploads/${pending.id}/parts`, form({ data: 'abc' }));
  const ids: Record<string, string> = {
    response: response.id,
    item: (response.output as { id: string }[]).at(-1)?.id ?? '',
    stored_completion: completion.id,
    conversation: conversation.id,
    file,
    upload: pending.id,
    upload_part: part.id,
    vector_store: `vs_${team.replaceAll('-', '')}`,
    file_batch: `vsfb_${team.replaceAll('-', '')}`,
    container: `cntr_${team.replaceAll('-', '')}`,
    model: `ft:gpt-4o-mini:${team.slice(0, 8)}::x`,
    batch: `batch_${team.replaceAll('-', '')}`,
    fine_tuning_job: `ftjob-${team.replaceAll('-', '')}`,
    skill: (await ok(by, 'POST', '/skills', form({ file: 'zip' }))).id,
    eval: (await ok(by, 'POST', '/evals', { data_source_config: {}, testing_criteria: [] })).id,
    eval_run: `evalrun_${team.replaceAll('-', '')}`,
    voice_consent: (await ok(by, 'POST', '/audio/voice_consents', form({ file: 'wav' }))).id,
  };
  for (const kind of [
    ...['vector_store', 'file_batch', 'container', 'model', 'batch', 'fine_tuning_job', 'eval_run'],
  ])
    await adopt(kind, ids[kind] ?? '', team);
  return ids;
}

const SERVED = OPERATIONS.filter(({ reason, method }) => reason === null && method !== 'WEBSOCKET');

describe("another team's object", () => {
  let own: Record<string, string>;
  let other: Record<string, string>;
  beforeAll(async () => {
    own = await objectsOf(key, teamId);
    other = await objectsOf(strangerKey, strangerId);
  }, 120_000);

  it('is 404 wherever an operation names it, and nothing is forwarded', { timeout: 300_000 }, async () => {
    await stack.settled();
    const attempts = SERVED.flatMap((operation) => attemptsOf(operation, own, other));
    expect(attempts.length).toBeGreaterThan(200);
    const before = lines();
    const wrong: unknown[] = [];
    for (let at = 0; at < attempts.length; at += 250) {
      await Promise.all(
        attempts.slice(at, at + 250).map(async ({ name, method, path, body, param, refusal }) => {
          const reply = await call(key, method, path, body);
          const { code, param: named } = reply.body.error ?? {};
          const isNamed = refusal === undefined ? named === param : param.startsWith(named ?? ' ');
          const expected = refusal === undefined ? [404, 'not_found'] : [400, refusal];
          if (!isNamed || [reply.status, code].join() !== expected.join())
            wrong.push([name, method, path, param, reply.status, code, named]);
        }),
      );
    }
    expect(wrong).toEqual([]);
    expect(lines()).toBe(before);
  });

  it('is looked for in every member of a body that the specification lets name one', () => {
    const walked = new Map(
      SERVED.map((operation) => [
        `${operation.method} ${operation.path}`,
        new Set(attemptsOf(operation, own, other).map(({ param }) => placeOf(param))),
      ]),
    );
    const text = readFileSync(new URL('../fixtures/openai-body-objects.txt', import.meta.url), 'utf8');
    const places = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const missing = places.filter((line) => {
      const at = line.lastIndexOf(' ');
      return namesObject(line) && walked.get(line.slice(0, at))?.has(line.slice(at + 1)) === false;
    });
    expect(places.length).toBeGreaterThan(150);
    expect(missing).toEqual([]);
  });

  it('is not found by a message on a WebSocket either', async () => {
    const before = lines();
    const socket = await openSocket(`${stack.app.url}/v1/responses`, { authorization: `Bearer ${key}` });
    for (const [param, body, refusal] of meteredBodies('responses', other)) {
      // What items bring is read as in a request.
      if (refusal !== undefined || param.startsWith('input[0].tools')) continue;
      socket.send({ type: 'response.create', ...body });
      const { error, status } = await socket.next('error');
      const { code, param: named } = error as Reply['body']['error'];
      expect([status, code, named]).toEqual([404, 'not_found', param]);
    }
    socket.close();
    expect(lines()).toBe(before);
  });
});
