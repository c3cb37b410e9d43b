/**
 * Fine-tuning jobs: `validating_files`, `running`, then an end, within `jobMs`. What is billed stands on the invoice when the job
 * ends, and in `trained_tokens`. `metadata.simulator` orders another end: `fail`, or `fail_early` before any training. A file with a
 * broken line fails its job before any training, as the API has it; with the order `skip_broken` the rest is trained.
 */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { isObject, type JsonObject } from './fields.ts';
import { NO_USAGE } from './invoice.ts';
import { findModel, trainingRate } from './prices.ts';
import { newId, nowSeconds, pageOf, type StoredJob } from './stored.ts';
import type { StoredRequest, StoredRoute } from './stored-files.ts';
import { trainingTokens } from './training-tokens.ts';
import { announce } from './webhooks.ts';

const PAGES = { limit: 20, most: 100 };
const HOUR_S = 3600n;

export const TRAINING_ROUTES: readonly StoredRoute[] = [
  ['POST', '/fine_tuning/jobs', 'fine_tuning.jobs.create', create],
  [
    'GET',
    '/fine_tuning/jobs',
    'fine_tuning.jobs.list',
    ({ stored, search }) =>
      pageOf(
        stored.trainings.list(({ json }) => json),
        search,
        PAGES,
      ),
  ],
  [
    'GET',
    '/fine_tuning/jobs/{}',
    'fine_tuning.jobs.retrieve',
    (request) => inJob(request, ({ json }) => json),
  ],
  [
    'GET',
    '/fine_tuning/jobs/{}/events',
    'fine_tuning.jobs.events',
    (request) => inJob(request, ({ events }) => pageOf(events, request.search, PAGES)),
  ],
  [
    'GET',
    '/fine_tuning/jobs/{}/checkpoints',
    'fine_tuning.jobs.checkpoints',
    (request) => inJob(request, () => pageOf([], request.search, PAGES)),
  ],
  [
    'POST',
    '/fine_tuning/jobs/{}/cancel',
    'fine_tuning.jobs.cancel',
    (request) => change(request, 'cancelled'),
  ],
  ['POST', '/fine_tuning/jobs/{}/pause', 'fine_tuning.jobs.pause', (request) => change(request, 'paused')],
  ['POST', '/fine_tuning/jobs/{}/resume', 'fine_tuning.jobs.resume', (request) => change(request, 'running')],
  [
    'POST',
    '/fine_tuning/alpha/graders/validate',
    'fine_tuning.graders.validate',
    ({ body }) => ({ grader: body.grader }),
  ],
  [
    'POST',
    '/fine_tuning/alpha/graders/run',
    'fine_tuning.graders.run',
    () => ({ reward: 1, metadata: {}, sub_rewards: {}, model_grader_token_usage_per_model: {} }),
  ],
];

interface Training extends StoredJob {
  /** Milliseconds of its loop so far, and since when it runs; null: it does not. */
  ranMs: number;
  sinceMs: number | null;
  bill(share: number, seconds: number): void;
}

function inJob(
  { stored, ids }: StoredRequest,
  use: (job: StoredJob) => JsonObject | ApiError,
): JsonObject | ApiError {
  const found = stored.trainings.find(ids[0] ?? '');
  return isApiError(found) ? found : use(found as StoredJob);
}

function create({ exchange, stored, body }: StoredRequest): JsonObject | ApiError {
  const { model, training_file: fileId } = body;
  const file = stored.files.find(String(fileId));
  if (isApiError(file)) return invalidRequest(`invalid training_file: ${fileId}`, 'training_file');
  const name = String(model);
  const rate = trainingRate(name);
  if (rate === null)
    return invalidRequest(
      `Model ${name} is not available for fine-tuning or does not exist.`,
      'model',
      'model_not_available',
    );
  const { tokens, examples, broken } = trainingTokens(file.content, name);
  const epochs = epochsOf(body, examples);
  const id = newId('ftjob-', exchange.random);
  const json: JsonObject = {
    ...{
      id,
      object: 'fine_tuning.job',
      created_at: nowSeconds(),
      finished_at: null,
      model: servedName(name),
    },
    ...{ fine_tuned_model: null, organization_id: 'org-sim', result_files: [], status: 'validating_files' },
    ...{
      validation_file: body.validation_file ?? null,
      training_file: fileId,
      error: null,
      trained_tokens: null,
    },
    ...{ hyperparameters: { n_epochs: epochs }, method: body.method ?? { type: 'supervised' }, seed: 1 },
    ...{ metadata: body.metadata ?? {}, estimated_finish: null, integrations: [] },
  };
  const billed =
    'perToken' in rate
      ? (share: number) => {
          const trained = Math.floor(tokens * epochs * share);
          json.trained_tokens = trained;
          return BigInt(trained) * rate.perToken;
        }
      : (_share: number, seconds: number) => (BigInt(seconds) * rate.perHour + HOUR_S - 1n) / HOUR_S;
  const entry = {
    ...exchange.entry,
    operation: 'fine_tuning.job',
    model: name,
    usage: NO_USAGE,
    status: 200,
  };
  const job: Training = {
    ...{ json, stop: null, events: [], ranMs: 0, sinceMs: null },
    bill: (share, seconds) => void exchange.state.invoice.add(entry, billed(share, seconds)),
  };
  stored.trainings.add(Object.assign(job, { id }));
  note(job, exchange, 'Created fine-tuning job');
  run(exchange, job, stored, broken > 0);
  return json;
}

function servedName(name: string): string {
  return findModel(name)?.servedName ?? name;
}

/** Three epochs where the request names none; more for few examples, fewer for many. */
function epochsOf({ hyperparameters, method }: JsonObject, examples: number): number {
  const type = isObject(method) ? String(method.type ?? 'supervised') : 'supervised';
  const own = isObject(method) && isObject(method[type]) ? method[type].hyperparameters : undefined;
  for (const given of [own, hyperparameters]) {
    if (isObject(given) && typeof given.n_epochs === 'number') return given.n_epochs;
  }
  if (examples * 3 < 100) return Math.min(25, Math.floor(100 / Math.max(1, examples)));
  return examples * 3 > 25_000 ? Math.max(1, Math.floor(25_000 / examples)) : 3;
}

function note({ events }: StoredJob, exchange: Exchange, message: string): void {
  events.push({
    id: newId('ftevent-', exchange.random),
    object: 'fine_tuning.job.event',
    created_at: nowSeconds(),
    level: 'info',
    message,
  });
}

/** Runs what is left of a job. A quarter of its time it validates its file. */
function run(exchange: Exchange, job: Training, stored: StoredRequest['stored'], isBroken = false): void {
  const { jobMs } = exchange.state.profile;
  const asked = isObject(job.json.metadata) ? job.json.metadata.simulator : undefined;
  const order = isBroken && asked !== 'skip_broken' ? 'fail_early' : asked;
  const timers: NodeJS.Timeout[] = [];
  const later = (ms: number, work: () => void) => timers.push(setTimeout(work, ms).unref());
  const start = () => {
    job.json.status = 'running';
    job.sinceMs = performance.now();
    if (job.ranMs === 0) note(job, exchange, 'Fine-tuning job started');
    later(Math.max(0, jobMs - job.ranMs), () =>
      end(exchange, job, stored, order === 'fail' ? 'failed' : 'succeeded'),
    );
  };
  job.stop = () => {
    for (const timer of timers) clearTimeout(timer);
    if (job.sinceMs !== null) job.ranMs += performance.now() - job.sinceMs;
    job.sinceMs = null;
    job.stop = null;
  };
  if (job.ranMs > 0) start();
  else later(jobMs / 4, () => (order === 'fail_early' ? end(exchange, job, stored, 'failed') : start()));
}

function end(exchange: Exchange, job: Training, stored: StoredRequest['stored'], status: string): void {
  job.stop?.();
  const { json, ranMs } = job;
  const { jobMs } = exchange.state.profile;
  json.status = status;
  json.finished_at = nowSeconds();
  const began = job.events.find(({ message }) => message === 'Fine-tuning job started')?.created_at;
  const seconds = began === undefined ? 0 : Number(json.finished_at) - Number(began);
  const share = status === 'succeeded' ? 1 : Math.min(1, ranMs / jobMs);
  if (began !== undefined) job.bill(share, status === 'failed' ? 0 : seconds);
  else json.trained_tokens = 0;
  if (status === 'succeeded') {
    json.fine_tuned_model = `ft:${servedName(String(json.model))}:sim::${String(json.id).slice(-8)}`;
    const { id } = { id: newId('file-', exchange.random) };
    const file = {
      id,
      object: 'file',
      bytes: 0,
      created_at: nowSeconds(),
      filename: 'step_metrics.csv',
      purpose: 'fine-tune-results',
      status: 'processed',
    };
    stored.files.add({ id, json: file, content: Buffer.alloc(0) });
    json.result_files = [id];
  } else if (status === 'failed')
    json.error = { code: 'invalid_training_file', message: 'The job failed.', param: null };
  note(job, exchange, `The job has ${status}`);
  announce(exchange.state, 'fine_tuning.job', status, json.id);
}

function change(request: StoredRequest, status: 'cancelled' | 'paused' | 'running'): JsonObject | ApiError {
  return inJob(request, (found) => {
    const job = found as Training;
    const isOver = ['succeeded', 'failed', 'cancelled'].includes(String(job.json.status));
    const isPaused = job.json.status === 'paused';
    if (isOver || ((status === 'running') !== isPaused && status !== 'cancelled'))
      return invalidRequest(`The job cannot be ${status} now: it is ${job.json.status}.`);
    if (status === 'cancelled') end(request.exchange, job, request.stored, 'cancelled');
    else if (status === 'paused') {
      job.stop?.();
      job.json.status = 'paused';
    } else run(request.exchange, job, request.stored);
    return job.json;
  });
}
