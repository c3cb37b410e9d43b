/** Requests that name another team's object, for each operation and each place in which one can stand. */
import { readFileSync } from 'node:fs';
import { BODY_OBJECTS } from '../../src/openai/named.ts';
import type { Descriptor } from '../../src/openai/operations/descriptor.ts';
import { OPERATIONS } from '../../src/openai/operations/table.ts';

export interface Attempt {
  name: string;
  method: string;
  path: string;
  body?: unknown;
  param: string;
  /** The code, where it is refused as a request that may not name any such object; missing: it is not found. */
  refusal?: string;
}

/** Ids of each kind that a team owns. */
type Ids = Readonly<Record<string, string>>;
type Body = [param: string, body: object, refusal?: string];

/** Places of the fixture that name nothing of a team, and why. */
const NAMES_NO_OBJECT: readonly [RegExp, string][] = [
  [/(^|\.)(call_id|caller_id|tool_call_id|approval_request_id)$/, 'a call that the same conversation has'],
  [/(safety_checks|tool_calls)\[\]\.id$/, 'the same'],
  [/(annotations|results)\[\]\./, 'shown of an earlier answer: the upstream reads nothing by it'],
  [/^(input|items)\[\]\.(environment\.)?container_id$/, 'where an earlier call has run: the same'],
  [/\.(connector_id|tunnel_id)$/, 'a service of the account, which no operation makes'],
  [/^prompt\.id$/, 'a template of the account, which no operation makes'],
];

/** Whether a line of the fixture tells a place in which an object of a team may be named. */
export function namesObject(line: string): boolean {
  const place = line.slice(line.lastIndexOf(' ') + 1);
  return !NAMES_NO_OBJECT.some(([names]) => names.test(place));
}

/** `tools[].container.file_ids` for `tools[0].container.file_ids[0]`. */
export function placeOf(param: string): string {
  return param
    .replaceAll(/\[\d+\]/g, '[]')
    .replace(/\[\]$/, '')
    .replace('.variables.a.', '.variables.*.');
}

export function form(fields: Record<string, string>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'file' || name === 'data') data.append(name, new Blob([value]), 'a.jsonl');
    else data.append(name, value);
  }
  return data;
}

/** Requests of one operation that name one object of a stranger's each, and otherwise the team's own. */
export function attemptsOf(operation: Descriptor, own: Ids, other: Ids): Attempt[] {
  const { name, method, path, pathObjects, request, lists, bound } = operation;
  const pathWith = (stranger: string | null) =>
    path.replaceAll(/\{(\w+)\}/g, (_, param: string) => {
      const kind = pathObjects[param];
      return kind === undefined ? 'id_1' : ((param === stranger ? other : own)[kind] ?? '');
    });
  const asked = jobAsked(name, own);
  const attempts: Attempt[] = Object.keys(pathObjects).map((param) => ({
    ...{ name, method, path: pathWith(param), param },
    ...(request === 'json' || operation.takesJson ? { body: asked ?? {} } : {}),
    ...(request === 'multipart' ? { body: form({ data: 'x' }) } : {}),
  }));
  const cursors = ['after', 'before'].filter((each) => lists !== null && operation.query?.includes(each));
  for (const param of cursors)
    attempts.push({ name, method, path: `${pathWith(null)}?${param}=${other[lists?.kind ?? '']}`, param });
  const isFree = bound === null || operation.pricedAs !== null;
  if (bound === null && request === 'form')
    attempts.push({
      name,
      method,
      path: pathWith(null),
      body: form({ file_id: other.file ?? '' }),
      param: 'file_id',
    });
  if (request !== 'json' && !operation.takesJson) return attempts;
  const bodies = isFree ? freeBodies(operation, other, asked) : meteredBodies(name, other);
  for (const [param, body, refusal] of bodies)
    attempts.push({ name, method, path: pathWith(null), body, param, ...(refusal ? { refusal } : {}) });
  return attempts;
}

const PLACES = readFileSync(new URL('../fixtures/openai-body-objects.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#') && namesObject(line));

/**
 * Every member that names an object, at the top and in one other shape, which turns with the operations; and wherever the
 * specification has one.
 */
function freeBodies(
  { method, path, bound, checks, name: of }: Descriptor,
  other: Ids,
  asked: object | undefined,
): Body[] {
  const start = `${method} ${path} `;
  const places = PLACES.filter((line) => line.startsWith(start)).map((line) =>
    bodyNaming(line.slice(start.length), other),
  );
  if (asked !== undefined) return places.map(([param, body]) => [param, merged(asked, body)]);
  const turn = OPERATIONS.findIndex(({ name }) => name === of);
  const bodies = Object.entries(BODY_OBJECTS).flatMap(([member, kind], at): Body[] => {
    const id = other[kind] ?? '';
    const upper = member.toUpperCase();
    const inItem = { role: 'user', content: [{ type: 'x', [member]: id }] };
    const shapes: Body[] = [
      // Where fields move a cost, or are checked, names in other letters are refused.
      (bound ?? checks) === null ? [upper, { [upper]: id }] : [upper, { [upper]: id }, 'invalid_request'],
      [`${member}[0]`, { [member]: [id] }],
      [`${member}.id`, { [member]: { id } }],
      [`items[0].content[0].${member}`, { items: [inItem] }],
    ];
    return [[member, { [member]: id }], ...shapes.slice((turn + at) % 4).slice(0, 1)];
  });
  const item = other.item ?? '';
  return [
    ...bodies,
    ...places,
    ['items[0].id', { items: [{ type: 'item_reference', id: item }] }],
    // The type of a reference may be left out.
    ['items[0].id', { items: [{ id: item }] }],
    [
      'input[1].id',
      {
        input: [
          { role: 'user', content: 'x' },
          { type: null, id: item },
        ],
      },
    ],
    ['items[0].id', { items: [{ type: 'web_search_call', id: item, status: 'completed' }] }],
    ['prompt.variables.a.file_id', { prompt: promptWith(other.file) }],
    ['input[0].id', { input: [{ type: 'reasoning', id: item, summary: [] }] }],
  ];
}

/** A body with an object in one place. */
function bodyNaming(place: string, other: Ids): Body {
  const names = place.split('.');
  const last = names.at(-1) ?? '';
  const before = names.at(-2) ?? '';
  const param = names.map((name) => (name === '*' ? 'a' : name.replaceAll('[]', '[0]'))).join('.');
  const inside = (value: object): Body => [
    param,
    names.slice(0, -1).reduceRight<object>((inner, name) => {
      const member = name === '*' ? 'a' : name.replaceAll('[]', '');
      return { [member]: name.endsWith('[]') ? [inner] : inner };
    }, value),
  ];
  if (last !== 'id') return inside({ [last]: other[BODY_OBJECTS[last] ?? ''] ?? '' });
  if (before === 'conversation') return inside({ id: other.conversation });
  if (before === 'source') return inside({ type: 'file_id', id: other.file });
  return inside({ type: 'item_reference', id: other.item });
}

const promptWith = (file_id?: string) => ({
  id: 'pmpt_1',
  variables: { a: { type: 'input_file', file_id } },
});
const user = (...content: object[]) => [{ role: 'user', content }];

const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

function toolsNaming({ file, vector_store, container, skill }: Ids): [string, object][] {
  const skills = [{ type: 'skill_reference', skill_id: skill }];
  const type = 'code_interpreter';
  const environment = (fields: object) => ({ type: 'shell', environment: fields });
  const mask = { type: 'image_generation', model: 'gpt-image-2', input_image_mask: { file_id: file } };
  return [
    ['vector_store_ids[0]', { type: 'file_search', vector_store_ids: [vector_store] }],
    ['container', { type, container }],
    ['container.file_ids[0]', { type, container: { type: 'auto', file_ids: [file] } }],
    ['container.skills[0].skill_id', { type, container: { type: 'auto', skills } }],
    ['environment.skills[0].skill_id', environment({ type: 'container_auto', skills })],
    ['input_image_mask.file_id', mask],
    ['environment.file_ids[0]', environment({ type: 'container_auto', file_ids: [file] })],
    ['environment.container_id', environment({ type: 'container_reference', container_id: container })],
  ];
}

/** What a job is asked for with, which names nothing of another team. */
function jobAsked(name: string, { file }: Ids): object | undefined {
  const source = { type: 'file_content', content: [] };
  const asked: Record<string, object> = {
    'batches.create': { endpoint: '/v1/responses', completion_window: '24h', input_file_id: file },
    'fine_tuning.jobs.create': { model: 'gpt-4o-mini-2024-07-18', training_file: file },
    'evals.runs.create': { data_source: { type: 'jsonl', source } },
  };
  return asked[name];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Members of both, those of the second where both have one. */
function merged(into: object, from: object): object {
  const both: Record<string, unknown> = { ...into };
  for (const [name, value] of Object.entries(from))
    both[name] = isObject(value) && isObject(both[name]) ? merged(both[name], value) : value;
  return both;
}

/** Items of an input that name an object. */
function inputsNaming({ file: file_id, item: id }: Ids): [param: string, item: object][] {
  const image = { type: 'input_image', file_id };
  const document = { type: 'input_file', file_id };
  const output = (type: string, value: unknown) => ({ type, call_id: 'call_1', output: value });
  return [
    ['id', { type: 'item_reference', id }],
    ['id', { id }],
    ['id', { type: 'reasoning', id, summary: [] }],
    ['id', { type: 'compaction', id }],
    ['content[0].file_id', { role: 'user', content: [document] }],
    ['content[0].file_id', { role: 'user', content: [image] }],
    ['output[0].file_id', output('function_call_output', [document])],
    ['output[0].file_id', output('custom_tool_call_output', [image])],
    ['output.file_id', output('computer_call_output', { type: 'computer_screenshot', file_id })],
  ];
}

/** Of the operations that cost money each reader says by itself what names an object. */
export function meteredBodies(name: string, other: Ids): Body[] {
  const file_id = other.file;
  const model = 'gpt-5-mini';
  const voice = { id: 'voice_1' };
  const ofInput: Body[] = [
    ['previous_response_id', { model, input: 'x', previous_response_id: other.response }],
    ...inputsNaming(other).map(([param, item]): Body => [`input[0].${param}`, { model, input: [item] }]),
  ];
  const ofTools = toolsNaming(other);
  /** Tools of an item that is kept are refused before it is asked whose they are. */
  const inItem = (fields: object, isKept: boolean) =>
    ofTools.map(([param, tool]): Body => {
      const input = [{ type: 'additional_tools', role: 'developer', tools: [tool] }];
      const body = { model, input, ...fields };
      const at = `input[0].tools[0].${param}`;
      return isKept ? [at, body, 'unbounded_request'] : [at, body];
    });
  const ofChat = { model, messages: user({ type: 'text', text: 'x' }) };
  const image = { model: 'gpt-image-1.5', prompt: 'x' };
  const ofName: Record<string, Body[]> = {
    'chat.completions': [
      ['messages[0].content[0].file.file_id', { model, messages: user({ type: 'file', file: { file_id } }) }],
      [
        'messages[0].audio.id',
        { model, messages: [{ role: 'assistant', audio: { id: 'audio_1' } }] },
        'unbounded_request',
      ],
      ['audio.voice.id', { ...ofChat, audio: { voice, format: 'mp3' } }, 'invalid_request'],
    ],
    responses: [
      ...ofInput,
      ['prompt.variables.a.file_id', { model, input: 'x', prompt: promptWith(file_id), tool_choice: 'none' }],
      ['conversation', { model, input: 'x', conversation: other.conversation }],
      ['conversation.id', { model, input: 'x', conversation: { id: other.conversation } }],
      ...ofTools.map(([param, tool]): Body => [`tools[0].${param}`, { model, input: 'x', tools: [tool] }]),
      ...inItem({ store: false }, false),
      ...inItem({}, true),
    ],
    'responses.compact': [...ofInput, ...inItem({}, true)],
    completions: [],
    embeddings: [],
    'audio.speech': [['voice.id', { model: 'tts-1', input: 'x', voice }, 'invalid_request']],
    'images.generations': [],
    'images.edits': [
      ['images[0].file_id', { ...image, images: [{ file_id }] }],
      ['mask.file_id', { ...image, images: [{ image_url: PIXEL }], mask: { file_id } }],
    ],
  };
  const bodies = ofName[name];
  if (bodies === undefined) throw new Error(`say which objects the body of ${name} may name`);
  return bodies;
}
