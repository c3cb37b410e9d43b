/** Jobs: work that goes on after its response. What they ask for is read here; what it costs is in gateway/job-estimate.ts. */
import type { BatchRequest, FineTuningRequest } from '../../domain/job.ts';
import { type Fields, isObject, type Json, type JsonObject } from '../body.ts';
import type { Descriptor } from './descriptor.ts';
import { free, job } from './descriptor.ts';

const TRAINING = '/fine_tuning/jobs/{fine_tuning_job_id}';
const BATCH = '/batches/{batch_id}';
const ofBatch = { pathObjects: { batch_id: 'batch' } } as const;

export const JOBS: readonly Descriptor[] = [
  job({
    name: 'batches.create',
    path: '/batches',
    job: readBatch,
    makes: { kind: 'batch', at: 'id' },
  }),
  free({
    name: 'batches.list',
    method: 'GET',
    path: '/batches',
    lists: { kind: 'batch', pageMax: 100, pageDefault: 20 },
    query: ['after', 'limit'],
  }),
  free({ name: 'batches.retrieve', method: 'GET', path: BATCH, ...ofBatch, query: [] }),
  free({ name: 'batches.cancel', method: 'POST', path: `${BATCH}/cancel`, ...ofBatch, movesJob: 'batch' }),
  job({
    name: 'fine_tuning.jobs.create',
    path: '/fine_tuning/jobs',
    job: readTraining,
    makes: { kind: 'fine_tuning_job', at: 'id' },
  }),
  free({
    name: 'fine_tuning.jobs.list',
    method: 'GET',
    path: '/fine_tuning/jobs',
    lists: { kind: 'fine_tuning_job', pageMax: 100, pageDefault: 20 },
    query: ['after', 'limit', 'metadata'],
  }),
  free({ name: 'fine_tuning.jobs.retrieve', method: 'GET', path: TRAINING }),
  free({
    name: 'fine_tuning.jobs.events',
    method: 'GET',
    path: `${TRAINING}/events`,
    query: ['after', 'limit'],
  }),
  free({
    name: 'fine_tuning.jobs.checkpoints',
    method: 'GET',
    path: `${TRAINING}/checkpoints`,
    query: ['after', 'limit'],
  }),
  ...['cancel', 'pause', 'resume'].map((change) =>
    free({
      name: `fine_tuning.jobs.${change}`,
      method: 'POST',
      path: `${TRAINING}/${change}`,
      movesJob: 'fine_tuning',
    }),
  ),
  free({ name: 'fine_tuning.graders.validate', method: 'POST', path: '/fine_tuning/alpha/graders/validate' }),
  free({
    name: 'fine_tuning.graders.run',
    method: 'POST',
    path: '/fine_tuning/alpha/graders/run',
    checks: (fields) => checkGrader(fields, fields.json.grader, 'grader'),
  }),
];

/** What compares texts by itself. The metric `cosine` asks a model for embeddings. */
function comparesTexts({ type, evaluation_metric: metric }: JsonObject): boolean {
  return type === 'string_check' || (type === 'text_similarity' && metric !== 'cosine');
}

/** A grader that asks models, or runs code, costs what nothing in the request bounds. */
function checkGrader(fields: Fields, grader: Json | undefined, param: string): void {
  if (!isObject(grader) || comparesTexts(grader)) return;
  const { type, graders } = grader;
  if (type === 'multi' && isObject(graders)) {
    // One grader, by the specification; by its own example several, by their names.
    if (typeof graders.type === 'string') checkGrader(fields, graders, `${param}.graders`);
    else
      for (const name of Object.keys(graders)) checkGrader(fields, graders[name], `${param}.graders.${name}`);
    return;
  }
  fields.unbounded(
    `${param}.type`,
    'nothing in it limits what the models or the code of this grader use',
    "What compares texts passes: 'string_check', and 'text_similarity' without 'cosine'; so does a 'multi' of these.",
  );
}

/** Of the API (specification 2.3.0): `n_epochs` of a fine-tuning job. */
const EPOCHS_MAX = 50;
const METHODS = ['supervised', 'dpo', 'reinforcement'] as const;

/** The fields of `POST /v1/fine_tuning/jobs` that move its cost. */
function readTraining(fields: Fields): FineTuningRequest | null {
  const { training_file: file } = fields.json;
  if (fields.name('model') === null) fields.invalid('model', "'model' must be the name of a model.");
  if (typeof file !== 'string' || file === '') {
    fields.invalid('training_file', "'training_file' must be the id of a file.");
    return null;
  }
  const given = fields.object('method');
  const type = given?.type ?? 'supervised';
  const method = METHODS.find((name) => name === type);
  if (method === undefined) {
    fields.unbounded('method.type', `only the methods ${METHODS.join(', ')} are known`, 'Name one of them.');
    return null;
  }
  const own = given?.[method];
  if (method === 'reinforcement' && isObject(own) && asksModels(own.grader))
    fields.unbounded(
      'method.reinforcement.grader',
      'a grader that asks a model has a bill of its own',
      'Use a grader of text or code.',
    );
  const epochs = [
    readEpochs(fields, fields.json.hyperparameters, 'hyperparameters'),
    readEpochs(fields, isObject(own) ? own.hyperparameters : undefined, `method.${method}.hyperparameters`),
  ].filter((each) => each !== null);
  const numbers = epochs.filter((each) => each !== 'auto');
  // Where both places name them, which one counts is not published.
  const isAuto = numbers.length < epochs.length || numbers.length === 0;
  return { kind: 'fine_tuning', method, epochs: isAuto ? 'auto' : Math.max(...numbers), file };
}

/** Returns the epochs that hyperparameters name; null: none. */
function readEpochs(fields: Fields, value: Json | undefined, place: string): 'auto' | number | null {
  if (value === undefined || value === null) return null;
  const epochs = isObject(value) ? (value.n_epochs ?? null) : undefined;
  if (epochs === null || epochs === 'auto') return epochs;
  if (typeof epochs === 'number' && Number.isInteger(epochs) && epochs >= 1 && epochs <= EPOCHS_MAX)
    return epochs;
  fields.invalid(`${place}.n_epochs`, `'n_epochs' must be 'auto' or an integer from 1 to ${EPOCHS_MAX}.`);
  return null;
}

const PLAIN_GRADERS = new Set<unknown>(['string_check', 'text_similarity', 'python']);

function asksModels(grader: Json | undefined): boolean {
  if (!isObject(grader)) return true;
  if (grader.type === 'multi')
    return !areGraders(grader.graders) || Object.values(grader.graders).some(asksModels);
  return !PLAIN_GRADERS.has(grader.type);
}

function areGraders(graders: Json | undefined): graders is JsonObject {
  return isObject(graders) && Object.keys(graders).length > 0;
}

/** The fields of `POST /v1/batches` that move its cost. */
function readBatch(fields: Fields): BatchRequest | null {
  const { input_file_id: file, endpoint } = fields.json;
  if (typeof file !== 'string' || file === '') {
    fields.invalid('input_file_id', "'input_file_id' must be the id of a file.");
    return null;
  }
  if (typeof endpoint !== 'string' || endpoint === '') {
    fields.invalid('endpoint', "'endpoint' must be the path of an operation.");
    return null;
  }
  return { kind: 'batch', file, endpoint };
}
