/**
 * Evals: what is to be compared, and by which graders. They cost nothing until they run, and no run is started here: its reason stands
 * in refused.ts. Runs that an eval has can be looked at, ended and deleted.
 */
import { free } from './descriptor.ts';

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
  free({ name: 'evals.delete', method: 'DELETE', path: EVAL, ends: true }),
  free({ name: 'evals.runs.list', method: 'GET', path: RUNS, query: RUN_QUERY }),
  free({ name: 'evals.runs.retrieve', method: 'GET', path: RUN }),
  free({ name: 'evals.runs.cancel', method: 'POST', path: RUN }),
  free({ name: 'evals.runs.stop', method: 'POST', path: `${RUN}/cancel` }),
  free({ name: 'evals.runs.delete', method: 'DELETE', path: RUN }),
  free({ name: 'evals.runs.output_items.list', method: 'GET', path: ITEMS, query: RUN_QUERY }),
  free({ name: 'evals.runs.output_items.retrieve', method: 'GET', path: `${ITEMS}/{output_item_id}` }),
];
