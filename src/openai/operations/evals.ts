/**
 * Evals: what is to be compared, and by which graders. They cost nothing until they run. A run is a job: its items are held when it is
 * asked for (planner/eval-run.ts), and what its models used is known when it ends.
 */
import type { EvalRunRequest } from '../../domain/job.ts';
import { type Fields, isObject } from '../body.ts';
import { free, job } from './descriptor.ts';

const EVAL = '/evals/{eval_id}';
const RUNS = `${EVAL}/runs`;
const RUN = `${RUNS}/{run_id}`;
const ITEMS = `${RUN}/output_items`;
const RUN_QUERY = ['after', 'limit', 'order', 'status'];

export const EVALS = [
  free({ name: 'evals.create', method: 'POST', path: '/evals', makes: { kind: 'eval', at: 'id' } }),
  free({
    name: 'evals.list',
    method: 'GET',
    path: '/evals',
    lists: { kind: 'eval', pageMax: 100, pageDefault: 20 },
    query: ['after', 'limit', 'order', 'order_by'],
  }),
  free({ name: 'evals.retrieve', method: 'GET', path: EVAL }),
  free({ name: 'evals.update', method: 'POST', path: EVAL }),
  free({ name: 'evals.delete', method: 'DELETE', path: EVAL, ends: true, movesJob: 'eval_run' }),
  job({
    name: 'evals.runs.create',
    path: RUNS,
    job: readRun,
    makes: { kind: 'eval_run', at: 'id' },
  }),
  free({
    name: 'evals.runs.list',
    method: 'GET',
    path: RUNS,
    lists: { kind: 'eval_run', pageMax: 100, pageDefault: 20 },
    query: RUN_QUERY,
  }),
  free({ name: 'evals.runs.retrieve', method: 'GET', path: RUN }),
  free({ name: 'evals.runs.cancel', method: 'POST', path: RUN, movesJob: 'eval_run' }),
  free({ name: 'evals.runs.stop', method: 'POST', path: `${RUN}/cancel`, movesJob: 'eval_run' }),
  free({ name: 'evals.runs.delete', method: 'DELETE', path: RUN, ends: true, movesJob: 'eval_run' }),
  free({ name: 'evals.runs.output_items.list', method: 'GET', path: ITEMS, query: RUN_QUERY }),
  free({ name: 'evals.runs.output_items.retrieve', method: 'GET', path: `${ITEMS}/{output_item_id}` }),
];

const SOURCE = 'data_source.source';

/** Where the items of `POST /v1/evals/{eval_id}/runs` stand. */
function readRun(fields: Fields): EvalRunRequest | null {
  const source = fields.object('data_source')?.source;
  if (!isObject(source)) {
    fields.invalid(SOURCE, `'${SOURCE}' must be an object.`);
    return null;
  }
  switch (source.type) {
    case 'file_content':
      if (Array.isArray(source.content)) return { kind: 'eval_run', file: null };
      fields.invalid(`${SOURCE}.content`, `'${SOURCE}.content' must be an array of items.`);
      return null;
    case 'file_id':
      if (typeof source.id === 'string' && source.id !== '') return { kind: 'eval_run', file: source.id };
      fields.invalid(`${SOURCE}.id`, `'${SOURCE}.id' must be the id of a file.`);
      return null;
    case 'stored_completions':
    case 'responses':
      fields.unbounded(
        `${SOURCE}.type`,
        'it reads what the upstream keeps of all teams, of which neither the number nor the length is known here; a limit bounds only the number',
        "Items pass that are sent ('file_content'), or lie in a file of the team ('file_id').",
      );
      return null;
  }
  fields.invalid(`${SOURCE}.type`, `'${SOURCE}.type' must be 'file_content' or 'file_id'.`);
  return null;
}
