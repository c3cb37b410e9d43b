/**
 * Batches: their lines are served one after another within `jobMs`, each with a line on the invoice. `metadata.simulator`: `expire`
 * ends one in its middle.
 */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { isObject, type JsonObject } from './fields.ts';
import { answerOf } from './inner-call.ts';
import { randomHex } from './random.ts';
import { newId, nowSeconds, pageOf, type StoredJob } from './stored.ts';
import { keepFile, type StoredRequest, type StoredRoute } from './stored-files.ts';
import { announce } from './webhooks.ts';

const PAGES = { limit: 20, most: 100 };

export const BATCH_ROUTES: readonly StoredRoute[] = [
  ['POST', '/batches', 'batches.create', create],
  [
    'GET',
    '/batches',
    'batches.list',
    ({ stored, search }) =>
      pageOf(
        stored.batches.list(({ json }) => json),
        search,
        PAGES,
      ),
  ],
  ['GET', '/batches/{}', 'batches.retrieve', (request) => inBatch(request, ({ json }) => json)],
  [
    'POST',
    '/batches/{}/cancel',
    'batches.cancel',
    (request) =>
      inBatch(request, (batch) => {
        if (batch.stop === null)
          return invalidRequest('Cannot cancel a batch that has ended.', null, null, 409);
        batch.stop();
        end(request, batch as Batch, 'cancelled');
        return batch.json;
      }),
  ],
];

interface Batch extends StoredJob {
  output: JsonObject[];
  errors: JsonObject[];
}

function inBatch(
  { stored, ids }: StoredRequest,
  use: (batch: StoredJob) => JsonObject | ApiError,
): JsonObject | ApiError {
  const found = stored.batches.find(ids[0] ?? '');
  return isApiError(found) ? found : use(found as StoredJob);
}

function create(request: StoredRequest): JsonObject | ApiError {
  const { exchange, stored, body } = request;
  const file = stored.files.find(String(body.input_file_id));
  if (isApiError(file))
    return invalidRequest(`Invalid input_file_id: ${body.input_file_id}`, 'input_file_id');
  const id = newId('batch_', exchange.random);
  const lines = file.content
    .toString()
    .split('\n')
    .filter((line) => line.trim() !== '');
  const json: JsonObject = {
    ...{ id, object: 'batch', endpoint: body.endpoint, errors: null, input_file_id: body.input_file_id },
    ...{ completion_window: '24h', status: 'validating', output_file_id: null, error_file_id: null },
    ...{ created_at: nowSeconds(), metadata: body.metadata ?? null },
    request_counts: { total: lines.length, completed: 0, failed: 0 },
  };
  const batch: Batch & { id: string } = { id, json, stop: null, events: [], output: [], errors: [] };
  stored.batches.add(batch);
  const { jobMs } = exchange.state.profile;
  let at = 0;
  const middle = isObject(body.metadata) && body.metadata.simulator === 'expire' ? lines.length >> 1 : -1;
  const timer = setInterval(
    () => {
      json.status = 'in_progress';
      const line = lines[at];
      if (line === undefined || at === middle) {
        batch.stop?.();
        end(request, batch, line === undefined ? 'completed' : 'expired');
      } else serve(exchange, batch, line, at++);
    },
    jobMs / (lines.length + 1),
  );
  timer.unref();
  batch.stop = () => {
    clearInterval(timer);
    batch.stop = null;
  };
  return json;
}

function end(request: StoredRequest, { json, output, errors }: Batch, status: string): void {
  const fileOf = (lines: JsonObject[]) =>
    lines.length === 0
      ? null
      : keepFile(
          request,
          'lines.jsonl',
          'batch_output',
          Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
        ).id;
  json.status = status;
  json.output_file_id = fileOf(output);
  json.error_file_id = fileOf(errors);
  json[`${status}_at`] = nowSeconds();
  announce(request.exchange.state, 'batch', status, json.id);
}

function serve(exchange: Exchange, batch: Batch, text: string, at: number): void {
  const line = JSON.parse(text) as JsonObject;
  const requestId = `req_${randomHex(exchange.random, 24)}`;
  const call = { url: String(line.url), body: line.body as JsonObject, requestId, at };
  const answer = answerOf(exchange, { ...call, tier: 'batch', prefix: 'batch' });
  const counts = batch.json.request_counts as Record<string, number>;
  const isDone = !isApiError(answer);
  counts[isDone ? 'completed' : 'failed'] = (counts[isDone ? 'completed' : 'failed'] ?? 0) + 1;
  const body = isApiError(answer)
    ? { error: { message: answer.message, type: answer.type, code: answer.code } }
    : answer.json;
  const response = { status_code: isApiError(answer) ? answer.status : 200, request_id: requestId, body };
  const wrapped = {
    id: newId('batch_req_', exchange.random),
    custom_id: line.custom_id,
    response,
    error: null,
  };
  (isDone ? batch.output : batch.errors).push(wrapped);
}
