/**
 * Tenants apart: what one team makes upstream another can neither name nor see. The table of operations says what each of
 * them names, so that none can be forgotten; the simulator says what was forwarded.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BODY_OBJECTS } from '../../src/openai/named.ts';
import type { Descriptor } from '../../src/openai/operations/descriptor.ts';
import { OPERATIONS } from '../../src/openai/operations/table.ts';
import { openSocket } from '../simulator/socket.ts';
import { type Stack, startStack } from './stack.ts';

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

function form(fields: Record<string, string>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'file' || name === 'data') data.append(name, new Blob([value]), 'a.jsonl');
    else data.append(name, value);
  }
  return data;
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
    voice_consent: (await ok(by, 'POST', '/audio/voice_consents', form({ file: 'wav' }))).id,
  };
  for (const kind of ['vector_store', 'file_batch', 'container', 'model', 'batch', 'fine_tuning_job'])
    await adopt(kind, ids[kind] ?? '', team);
  return ids;
}

interface Attempt {
  name: string;
  method: string;
  path: string;
  body?: unknown;
  param: string;
}

/** Requests of one operation that name one object of a stranger's each, and otherwise the team's own. */
function attemptsOf(
  operation: Descriptor,
  own: Record<string, string>,
  other: Record<string, string>,
): Attempt[] {
  const { name, method, path, pathObjects, request, lists, bound } = operation;
  const pathWith = (stranger: string | null) =>
    path.replaceAll(/\{(\w+)\}/g, (_, param: string) => {
      const kind = pathObjects[param];
      return kind === undefined ? 'id_1' : ((param === stranger ? other : own)[kind] ?? '');
    });
  const attempts: Attempt[] = Object.keys(pathObjects).map((param) => ({
    ...{ name, method, path: pathWith(param), param },
    ...(request === 'json' || operation.takesJson ? { body: {} } : {}),
    ...(request === 'multipart' ? { body: form({ data: 'x' }) } : {}),
  }));
  for (const cursor of lists === null
    ? []
    : ['after', 'before'].filter((each) => operation.query?.includes(each)))
    attempts.push({
      name,
      method,
      path: `${pathWith(null)}?${cursor}=${other[lists?.kind ?? '']}`,
      param: cursor,
    });
  if (request !== 'json' && !operation.takesJson) return attempts;
  const isFree = bound === null || operation.pricedAs !== null;
  const ofJob = bodiesOfJobs(other)[name];
  const bodies = ofJob ?? (isFree ? freeBodies(other) : meteredBodies(name, other));
  for (const [param, body] of bodies) attempts.push({ name, method, path: pathWith(null), body, param });
  return attempts;
}

/** Every member that names an object, at the top, in a list and deep inside. */
function freeBodies(other: Record<string, string>): [string, object][] {
  const bodies = Object.entries(BODY_OBJECTS).flatMap(([member, kind]): [string, object][] => {
    const id = other[kind] ?? '';
    return [
      [member, { [member]: id }],
      [`${member}[0]`, { [member]: [id] }],
      [`${member}.id`, { [member]: { id } }],
      [
        `items[0].content[0].${member}`,
        { items: [{ role: 'user', content: [{ type: 'x', [member]: id }] }] },
      ],
    ];
  });
  const item = other.item ?? '';
  return [
    ...bodies,
    ['items[0].id', { items: [{ type: 'item_reference', id: item }] }],
    ['prompt.variables.a.file_id', { prompt: promptWith(other.file) }],
    ['input[0].id', { input: [{ type: 'reasoning', id: item, summary: [] }] }],
  ];
}

const promptWith = (file_id?: string) => ({
  id: 'pmpt_1',
  variables: { a: { type: 'input_file', file_id } },
});
const user = (...content: object[]) => [{ role: 'user', content }];

const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

function toolsNaming(other: Record<string, string>): [string, object][] {
  const { file, vector_store, container, skill } = other;
  const skills = [{ type: 'skill_reference', skill_id: skill }];
  const type = 'code_interpreter';
  const environment = (fields: object) => ({ type: 'shell', environment: fields });
  return [
    ['vector_store_ids[0]', { type: 'file_search', vector_store_ids: [vector_store] }],
    ['container', { type, container }],
    ['container.file_ids[0]', { type, container: { type: 'auto', file_ids: [file] } }],
    ['container.skills[0].skill_id', { type, container: { type: 'auto', skills } }],
    ['environment.skills[0].skill_id', environment({ type: 'container_auto', skills })],
    [
      'input_image_mask.file_id',
      { type: 'image_generation', model: 'gpt-image-2', input_image_mask: { file_id: file } },
    ],
    ['environment.file_ids[0]', environment({ type: 'container_auto', file_ids: [file] })],
    ['environment.container_id', environment({ type: 'container_reference', container_id: container })],
  ];
}

/** What makes a job names its files, and nothing else. */
function bodiesOfJobs({ file }: Record<string, string>): Record<string, [string, object][]> {
  const batch = { endpoint: '/v1/responses', completion_window: '24h' };
  return {
    'batches.create': [['input_file_id', { ...batch, input_file_id: file }]],
    'fine_tuning.jobs.create': [['training_file', { model: 'gpt-4o-mini-2024-07-18', training_file: file }]],
  };
}

/** Of the operations that cost money each reader says by itself what names an object. */
function meteredBodies(name: string, other: Record<string, string>): [string, object][] {
  const file_id = other.file;
  const model = 'gpt-5-mini';
  const ofInput: [string, object][] = [
    ['previous_response_id', { model, input: 'x', previous_response_id: other.response }],
    ['input[0].id', { model, input: [{ type: 'item_reference', id: other.item }] }],
    ['input[0].id', { model, input: [{ type: 'reasoning', id: other.item, summary: [] }] }],
    ['input[0].content[0].file_id', { model, input: user({ type: 'input_file', file_id }) }],
    ['input[0].content[0].file_id', { model, input: user({ type: 'input_image', file_id }) }],
  ];
  const ofName: Record<string, [string, object][]> = {
    'chat.completions': [
      ['messages[0].content[0].file.file_id', { model, messages: user({ type: 'file', file: { file_id } }) }],
    ],
    responses: [
      ...ofInput,
      ['prompt.variables.a.file_id', { model, input: 'x', prompt: promptWith(file_id), tool_choice: 'none' }],
      ['conversation', { model, input: 'x', conversation: other.conversation }],
      ['conversation.id', { model, input: 'x', conversation: { id: other.conversation } }],
      ...toolsNaming(other).map(([param, tool]): [string, object] => [
        `tools[0].${param}`,
        { model, input: 'x', tools: [tool] },
      ]),
    ],
    'responses.compact': ofInput,
    completions: [],
    embeddings: [],
    'audio.speech': [],
    'images.generations': [],
    'images.edits': [
      ['images[0].file_id', { model: 'gpt-image-1.5', prompt: 'x', images: [{ file_id }] }],
      [
        'mask.file_id',
        { model: 'gpt-image-1.5', prompt: 'x', images: [{ image_url: PIXEL }], mask: { file_id } },
      ],
    ],
  };
  const bodies = ofName[name];
  if (bodies === undefined) throw new Error(`say which objects the body of ${name} may name`);
  return bodies;
}

describe("another team's object", () => {
  let own: Record<string, string>;
  let other: Record<string, string>;
  beforeAll(async () => {
    own = await objectsOf(key, teamId);
    other = await objectsOf(strangerKey, strangerId);
  }, 120_000);

  it('is 404 wherever an operation names it, and nothing is forwarded', { timeout: 300_000 }, async () => {
    await stack.settled();
    const served = OPERATIONS.filter(({ reason, method }) => reason === null && method !== 'WEBSOCKET');
    const attempts = served.flatMap((operation) => attemptsOf(operation, own, other));
    expect(attempts.length).toBeGreaterThan(200);
    const before = lines();
    const wrong: unknown[] = [];
    for (let at = 0; at < attempts.length; at += 250) {
      await Promise.all(
        attempts.slice(at, at + 250).map(async ({ name, method, path, body, param }) => {
          const reply = await call(key, method, path, body);
          const got = [reply.status, reply.body.error?.code, reply.body.error?.param];
          if (got.join() !== [404, 'not_found', param].join()) wrong.push([name, method, path, param, got]);
        }),
      );
    }
    expect(wrong).toEqual([]);
    expect(lines()).toBe(before);
  });

  it('is not found by a message on a WebSocket either', async () => {
    const before = lines();
    const socket = await openSocket(`${stack.app.url}/v1/responses`, { authorization: `Bearer ${key}` });
    for (const [param, body] of meteredBodies('responses', other)) {
      socket.send({ type: 'response.create', ...body });
      const { error, status } = await socket.next('error');
      const { code, param: named } = error as Reply['body']['error'];
      expect([status, code, named]).toEqual([404, 'not_found', param]);
    }
    socket.close();
    expect(lines()).toBe(before);
  });
});
