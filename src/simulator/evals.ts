/**
 * Runs of evals: their items are sampled and graded one after another within `jobMs`, each call with a line on the invoice.
 * `metadata.simulator`: `fail` ends one in its middle; `silent` never says what was used.
 */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import type { ApiState, Exchange } from './exchange.ts';
import { isObject, type JsonObject } from './fields.ts';
import { answerOf, type InnerAnswer } from './inner-call.ts';
import { randomHex } from './random.ts';
import { newId, nowSeconds, on, pageOf, type StoredJob } from './stored.ts';
import type { StoredRequest, StoredRoute } from './stored-files.ts';
import { announce } from './webhooks.ts';

const PAGES = { limit: 20, most: 100 };
const RUNS = '/evals/{}/runs';
const RUN = `${RUNS}/{}`;

interface Run extends StoredJob {
  evalId: string;
  items: JsonObject[];
  /** What its models used, by the names that they answer by. */
  used: Map<string, Record<string, number>>;
  silent: boolean;
}

export const EVAL_RUN_ROUTES: readonly StoredRoute[] = [
  ['POST', RUNS, 'evals.runs.create', create],
  [
    'GET',
    RUNS,
    'evals.runs.list',
    ({ stored, ids: [evalId = ''], search }) =>
      on(stored.evals.find(evalId), () =>
        pageOf(
          stored.runs.list(({ json }) => json).filter((run) => run.deleted || run.eval_id === evalId),
          search,
          PAGES,
        ),
      ),
  ],
  ['GET', RUN, 'evals.runs.retrieve', (request) => inRun(request, ({ json }) => json)],
  ['POST', RUN, 'evals.runs.cancel', cancel],
  ['POST', `${RUN}/cancel`, 'evals.runs.stop', cancel],
  [
    'DELETE',
    RUN,
    'evals.runs.delete',
    (request) =>
      inRun(request, (run) => {
        run.stop?.();
        request.stored.runs.delete(request.ids[1] ?? '');
        return { run_id: request.ids[1], object: 'eval.run.deleted', deleted: true };
      }),
  ],
  [
    'GET',
    `${RUN}/output_items`,
    'evals.runs.output_items.list',
    (request) => inRun(request, ({ events }) => pageOf(events, request.search, { ...PAGES, order: 'asc' })),
  ],
  [
    'GET',
    `${RUN}/output_items/{}`,
    'evals.runs.output_items.retrieve',
    (request) =>
      inRun(
        request,
        ({ events }) =>
          events.find(({ id }) => id === request.ids[2]) ?? invalidRequest('No such item.', 'id', null, 404),
      ),
  ],
];

function inRun({ stored, ids }: StoredRequest, use: (run: Run) => JsonObject | ApiError) {
  const found = stored.runs.find(ids[1] ?? '');
  if (isApiError(found)) return found;
  const run = found as Run;
  return run.evalId === ids[0] ? use(run) : invalidRequest('No such run in this eval.', 'id', null, 404);
}

function cancel(request: StoredRequest): JsonObject | ApiError | Buffer {
  return inRun(request, (run) => {
    if (run.stop === null) return invalidRequest('Cannot cancel a run that has ended.', null, null, 409);
    end(request.exchange.state, run, 'canceled');
    return run.json;
  });
}

function create({ exchange, stored, body, ids: [evalId = ''] }: StoredRequest): JsonObject | ApiError {
  const found = stored.evals.find(evalId);
  if (isApiError(found)) return found;
  const source = isObject(body.data_source) ? body.data_source : {};
  const items = itemsOf(stored, isObject(source.source) ? source.source : {});
  if (isApiError(items)) return items;
  const directive = isObject(body.metadata) ? body.metadata.simulator : undefined;
  const id = newId('evalrun_', exchange.random);
  const json: JsonObject = {
    ...{ id, object: 'eval.run', eval_id: evalId, status: 'queued', created_at: nowSeconds() },
    ...{ model: source.model ?? 'none', name: body.name ?? 'x', report_url: 'https://example.com/report' },
    ...{ data_source: source, metadata: body.metadata ?? {}, error: null, per_model_usage: null },
    result_counts: { total: items.length, errored: 0, failed: 0, passed: 0 },
    per_testing_criteria_results: [],
  };
  const run: Run & { id: string } = {
    ...{ id, json, evalId, items, stop: null, events: [], used: new Map(), silent: directive === 'silent' },
  };
  stored.runs.add(run);
  const criteria = Array.isArray(found.json.testing_criteria) ? found.json.testing_criteria : [];
  const middle = directive === 'fail' ? items.length >> 1 : -1;
  let at = 0;
  const timer = setInterval(
    () => {
      json.status = 'in_progress';
      const item = items[at];
      if (item === undefined || at === middle)
        end(exchange.state, run, item === undefined ? 'completed' : 'failed');
      else serve(exchange, run, { source, criteria, item, at: at++ });
    },
    exchange.state.profile.jobMs / (items.length + 1),
  );
  timer.unref();
  run.stop = () => {
    clearInterval(timer);
    run.stop = null;
  };
  return json;
}

function itemsOf(stored: StoredRequest['stored'], source: JsonObject): JsonObject[] | ApiError {
  if (Array.isArray(source.content)) return source.content.filter(isObject);
  const file = stored.files.find(String(source.id));
  if (isApiError(file)) return file;
  const lines = file.content.toString().split('\n');
  return lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as JsonObject);
}

function end(state: ApiState, run: Run, status: string): void {
  run.stop?.();
  run.json.status = status;
  if (!run.silent)
    run.json.per_model_usage = [...run.used].map(([model, used]) => ({ model_name: model, ...used }));
  announce(state, 'eval.run', status === 'completed' ? 'succeeded' : status, run.json.id);
}

interface Served {
  source: JsonObject;
  criteria: unknown[];
  item: JsonObject;
  at: number;
}

/** Samples and grades one item. */
function serve(exchange: Exchange, run: Run, { source, criteria, item, at }: Served): void {
  const requestId = `req_${randomHex(exchange.random, 24)}`;
  let calls = 0;
  const ask = (url: string, body: JsonObject) => {
    const call = { url, body, tier: 'default', prefix: 'evals', requestId, at: at * 100 + calls++ } as const;
    const answer = answerOf(exchange, call);
    if (!isApiError(answer)) use(run, answer);
    return answer;
  };
  const isSampled = source.type === 'completions' || source.type === 'responses';
  const sampled = isSampled ? ask(...samplingOf(source, item)) : null;
  const isWorst = exchange.state.mode === 'worst';
  const sample =
    sampled === null || isApiError(sampled)
      ? item.sample
      : { output_text: isWorst ? longest(sampled.usage.output_tokens) : textOf(sampled.json) };
  const models = criteria.filter((grader) => isObject(grader) && typeof grader.model === 'string');
  const graded = models.map((grader) =>
    ask('/v1/chat/completions', gradingOf(grader as JsonObject, { ...item, sample }, isWorst)),
  );
  const isErrored = (sampled !== null && isApiError(sampled)) || graded.some(isApiError);
  const counts = run.json.result_counts as Record<string, number>;
  const result = isErrored ? 'errored' : at % 3 === 0 ? 'failed' : 'passed';
  counts[result] = (counts[result] ?? 0) + 1;
  run.events.push({
    ...{
      id: newId('outputitem_', exchange.random),
      object: 'eval.run.output_item',
      created_at: nowSeconds(),
    },
    ...{ eval_id: run.evalId, run_id: run.json.id, status: result, datasource_item_id: at },
    ...{ datasource_item: item.item, results: [], sample: sample ?? {} },
  });
}

function use(run: Run, { servedName, usage }: InnerAnswer): void {
  const { input_tokens: input, output_tokens: output, cached_input_tokens: cached } = usage;
  const before = run.used.get(servedName) ?? {};
  const more = {
    invocation_count: 1,
    prompt_tokens: input,
    completion_tokens: output,
    cached_tokens: cached,
    total_tokens: input + output,
  };
  for (const [name, count] of Object.entries(more)) before[name] = (before[name] ?? 0) + count;
  run.used.set(servedName, before);
}

/** As few tokens may say so much: the longest of the published encodings are 128 spaces. */
function longest(tokens: number): string {
  return ' '.repeat(128 * tokens);
}

function samplingOf(source: JsonObject, item: JsonObject): [string, JsonObject] {
  const { model, type } = source;
  const given = isObject(source.sampling_params) ? source.sampling_params : {};
  const input = isObject(source.input_messages) ? source.input_messages : {};
  const messages = Array.isArray(input.template)
    ? input.template.filter(isObject).map((message) => messageOf(message, item))
    : (valueAt(item, String(input.item_reference)) as JsonObject[]);
  const most = given.max_completion_tokens ?? null;
  return type === 'responses'
    ? ['/v1/responses', { model, input: messages, max_output_tokens: most, service_tier: 'default' }]
    : ['/v1/chat/completions', { model, messages, max_completion_tokens: most, service_tier: 'default' }];
}

/** What is added to the messages of a grader. */
const INSTRUCTIONS = 'Grade the answer as asked. Reply with your steps and the result as JSON.';

function gradingOf(grader: JsonObject, item: JsonObject, isWorst: boolean): JsonObject {
  const given = isObject(grader.sampling_params) ? grader.sampling_params : {};
  const messages = (Array.isArray(grader.input) ? grader.input : []).filter(isObject);
  const told = isWorst ? INSTRUCTIONS.repeat(10) : INSTRUCTIONS;
  return {
    ...{ model: grader.model, service_tier: 'default' },
    max_completion_tokens: given.max_completions_tokens ?? null,
    messages: [
      { role: 'developer', content: `${told} ${JSON.stringify(grader.labels ?? grader.range ?? null)}` },
      ...messages.map((message) => messageOf(message, item)),
    ],
  };
}

function messageOf({ role, content }: JsonObject, item: JsonObject): JsonObject {
  const parts = Array.isArray(content) ? content : [content];
  const texts = parts.map((part) => (isObject(part) ? String(part.text) : String(part)));
  return { role, content: texts.map((text) => written(text, item)).join('') };
}

function written(text: string, item: JsonObject): string {
  return text.replaceAll(/\{\{\s*([\w.]+)\s*\}\}/g, (_all, path: string) => {
    const value = valueAt(item, path);
    return typeof value === 'string' ? value : JSON.stringify(value ?? null);
  });
}

function valueAt(item: JsonObject, path: string): unknown {
  let value: unknown = item;
  for (const name of path.split('.')) value = isObject(value) ? value[name] : undefined;
  return value;
}

function textOf(json: JsonObject): string {
  const [choice] = (json.choices ?? []) as { message: { content: string | null } }[];
  if (choice !== undefined) return choice.message.content ?? '';
  const output = (json.output ?? []) as { content?: { text?: string }[] }[];
  return output.flatMap(({ content = [] }) => content.map(({ text = '' }) => text)).join('');
}
