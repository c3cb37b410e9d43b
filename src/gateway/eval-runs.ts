/**
 * What a run of an eval can cost at most. Owns: asking the upstream for the eval, whose graders its run pays, and for the file with
 * the items. Does not own: the reckoning (planner/eval-run.ts). Invariant: what nothing bounds is refused before anything is sent.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { EvalRunRequest } from '../domain/job.ts';
import { type BoundedJob, type EvalModelTerms, termPriceOf } from '../domain/job-terms.ts';
import { usd } from '../domain/money.ts';
import { includesModel } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { isObject, type JsonObject, parseJson } from '../openai/body.ts';
import type { EvalRunCount, EvalRunQuestion } from '../planner/eval-run.ts';
import type { GatewayDeps } from './deps.ts';
import { countAll, readerOf } from './kept-files.ts';
import type { Parsed } from './stages/parse.ts';
import { whyNotModel } from './tenancy.ts';

export async function planEvalRun(
  deps: GatewayDeps,
  parsed: Parsed,
  request: EvalRunRequest,
): Promise<BoundedJob | ApiError> {
  const evalId = parsed.request.objects?.find(({ param }) => param === 'eval_id')?.id ?? '';
  const reader = readerOf(deps);
  const found = await reader?.ask('GET', `/evals/${encodeURIComponent(evalId)}`);
  if (reader === null || found === undefined || found.status !== 200 || found.json === null)
    return notRead(found?.status ?? 0);
  const question = questionOf(parsed.request.body, found.json);
  if (question === null)
    return apiError('invalid_request', "'data_source' must be an object.", { param: 'data_source' });
  const { fileCounts, catalog, clock } = deps;
  const counting = fileCounts.beginRun(question, catalog.rates, clock.nowMs());
  const count = request.file === null ? await counting.end() : await countAll(reader, request.file, counting);
  if (count === null) return NOT_COUNTED;
  if (!('kind' in count)) return apiError(count.code, count.message, { param: count.param });
  return await plannedOf(deps, parsed, evalId, count);
}

/** Of an eval that has ended upstream, or cannot be asked for, nothing says what its graders cost. */
function notRead(status: number): ApiError {
  return status === 404
    ? apiError('not_found', 'The upstream knows no such eval.', { param: 'eval_id' })
    : apiError(
        'upstream_unreachable',
        'The eval could not be read from the upstream, so that nothing says what its graders cost: nothing was charged.',
        { retryAfterMs: 1000 },
      );
}

const NOT_COUNTED = apiError(
  'unbounded_request',
  'The items of the run could not be read and counted: try again, or upload their file anew (POST /v1/files).',
  { param: 'data_source.source' },
);

function questionOf(body: Buffer, { testing_criteria: criteria }: JsonObject): EvalRunQuestion | null {
  const json = parseJson(body.toString());
  if (!isObject(json) || !isObject(json.data_source)) return null;
  return { source: json.data_source, criteria: Array.isArray(criteria) ? criteria : [] };
}

async function plannedOf(
  deps: GatewayDeps,
  { account: { principal } }: Parsed,
  evalId: string,
  count: EvalRunCount,
): Promise<BoundedJob | ApiError> {
  const models: Record<string, EvalModelTerms> = {};
  const { items } = count;
  let priceId: string | null = null;
  for (const { model, mayBeLong } of count.models) {
    const why = await whyNotModel(deps, principal.teamId, model);
    if (why !== null) return why;
    if (!includesModel(principal.models, model) || !includesModel(principal.teamModels, model)) {
      const what = `This key may not use the model '${model.slice(0, 100)}', which the run or its eval names.`;
      return apiError('model_not_allowed', what, { param: 'data_source' });
    }
    const price = deps.catalog.rates.find(model, deps.clock.nowMs())?.tiers.default;
    if (price === undefined)
      return apiError('unknown_price', `No price of the model '${model.slice(0, 100)}' is known.`, {
        param: 'model',
      });
    models[model] = { price: termPriceOf(price), mayBeLong };
    priceId = price.id;
  }
  const cost = usd(count.usd);
  const names = Object.keys(models);
  const sum = (pick: (each: EvalRunCount['models'][number]) => number) =>
    count.models.reduce((all, each) => all + pick(each), 0);
  return {
    cost,
    inputTokens: sum((each) => each.inputTokens),
    outputTokens: sum((each) => each.outputTokens),
    priceId: names.length === 1 ? priceId : null,
    model: names.length === 1 ? (names[0] ?? '') : '',
    terms: { kind: 'eval_run', evalId, items, models },
    wouldFit: (left) => {
      const affordable = cost === 0n ? items : Number((BigInt(items) * left) / cost);
      const text = `Its ${items} items are held at $${formatUsd(cost)}; about ${affordable} such items would fit. A limit of output in 'sampling_params' lowers what they hold.`;
      return { text, details: { items, affordable_items: affordable } };
    },
  };
}
