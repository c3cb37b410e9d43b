/** Work that goes on after its response: it is to be held when it is made, and settled when it ends. */
import type { Descriptor } from './descriptor.ts';
import { job } from './descriptor.ts';

export const JOBS: readonly Descriptor[] = [
  ...job(
    'batches',
    'batches are not served yet: their lines run on after the response, and are held by nothing so far',
    `
    /batches GET POST
    /batches/{batch_id} GET
    /batches/{batch_id}/cancel POST`,
  ),
  ...job(
    'fine_tuning',
    'training jobs are not served yet: they run on after the response, and are held by nothing so far',
    `
    /fine_tuning/alpha/graders/run POST
    /fine_tuning/alpha/graders/validate POST
    /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions GET POST
    /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id} DELETE
    /fine_tuning/jobs GET POST
    /fine_tuning/jobs/{fine_tuning_job_id} GET
    /fine_tuning/jobs/{fine_tuning_job_id}/cancel POST
    /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints GET
    /fine_tuning/jobs/{fine_tuning_job_id}/events GET
    /fine_tuning/jobs/{fine_tuning_job_id}/pause POST
    /fine_tuning/jobs/{fine_tuning_job_id}/resume POST`,
  ),
  ...job(
    'evals',
    'eval runs are not served yet: they run on after the response, and the API ends on 2026-11-30',
    `
    /evals GET POST
    /evals/{eval_id} GET POST DELETE
    /evals/{eval_id}/runs GET POST
    /evals/{eval_id}/runs/{run_id} GET POST DELETE
    /evals/{eval_id}/runs/{run_id}/output_items GET
    /evals/{eval_id}/runs/{run_id}/output_items/{output_item_id} GET
    /evals/{id}/runs/{id}/cancel POST`,
  ),
];
