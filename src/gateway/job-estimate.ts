/**
 * What a job can cost at most. Owns: from what its request names to an estimate, the terms it is settled by, and what would fit
 * where it does not. Does not own: the reckoning (planner/). Invariant: what no file or field bounds is refused, before
 * anything is sent.
 */
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import type { Estimate } from '../domain/estimate.ts';
import type { BackgroundRequest, BatchRequest, FineTuningRequest, JobRequest } from '../domain/job.ts';
import { type BoundedJob, type TermPrice, termPriceOf } from '../domain/job-terms.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { includesModel, type RateCard, type TrainingPrice } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { type PriceBook, priceBook } from '../planner/book.ts';
import { type FileCount, type FileFacts, storedFile } from '../planner/file-count.ts';
import {
  type CountJob,
  countJobOf,
  type FineTuneEstimate,
  type KnownCount,
  planFineTune,
  reckonFineTune,
} from '../planner/fine-tune.ts';
import { countedAs } from '../planner/training-ways.ts';
import { readSeed } from '../store/seed/read-seed.ts';
import { type Stopped, stoppedAs } from './call.ts';
import { whyNotJob } from './countable.ts';
import { ledgerUnavailable } from './denial-error.ts';
import type { GatewayDeps } from './deps.ts';
import { planEvalRun } from './eval-runs.ts';
import { countKept } from './kept-files.ts';
import type { Estimated } from './stages/estimate.ts';
import type { Parsed } from './stages/parse.ts';
import { whyNotModel } from './tenancy.ts';

/** Bounds a job by its file and its fields. */
export async function estimateJob(
  deps: GatewayDeps,
  parsed: Parsed,
  request: Exclude<JobRequest, BackgroundRequest>,
): Promise<Estimated | Stopped> {
  const planned = await plan(deps, parsed, request).catch((error: unknown) => {
    deps.log.logger.warn({ err: error }, 'what is known of a file could not be looked up');
    return ledgerUnavailable();
  });
  // Only now it is known which models a batch or a run of an eval asks for.
  const error = isApiError(planned) ? planned : whyNotJob(parsed.account, parsed.callKind, planned);
  if (isApiError(planned) || error !== null) return stoppedAs(parsed, error);
  parsed.call.ended('estimate');
  const { model } = parsed.request.operation;
  const card: RateCard | null = model === null ? null : deps.catalog.rates.find(model, deps.clock.nowMs());
  return {
    ...parsed,
    kind: 'estimated',
    callKind: { ...parsed.callKind, model: planned.model },
    card,
    estimate: fixed(planned),
    anchor: null,
    again: null,
    job: planned,
  };
}

/** The estimate of a known amount. */
function fixed({ cost, inputTokens, outputTokens, priceId }: BoundedJob): Estimate {
  const exact = { fixed: cost, perOutputToken: 0n, denominator: 1n };
  return {
    hosted: null,
    priceId,
    inputTokens,
    choices: 1,
    extraOutputTokens: outputTokens,
    openEnded: false,
    outputTokensPerChoice: 0,
    wholeAnswerTokens: null,
    maxOutputTokens: null,
    outputCeiling: null,
    upstreamMs: null,
    billing: { fixed: 0, perOutputToken: 0, denominator: 1, exact },
    otherBillings: [],
  };
}

async function plan(
  deps: GatewayDeps,
  parsed: Parsed,
  request: Exclude<JobRequest, BackgroundRequest>,
): Promise<BoundedJob | ApiError> {
  if (deps.upstream === null)
    return apiError(
      'upstream_not_configured',
      'This gateway has no upstream: its administrator must set OPENAI_API_KEY.',
    );
  if (request.kind === 'eval_run') return await planEvalRun(deps, parsed, request);
  const { teamId } = parsed.account.principal;
  const file = storedFile.safeParse(await deps.objects.store.findFile(teamId, request.file)).data ?? {};
  const planned = await planWith(deps, parsed, request, file);
  if (!wantsCount(request, file, planned)) return planned;
  const count = await countKept(deps, request.file);
  return count === null ? planned : await planWith(deps, parsed, request, { ...file, count });
}

function planWith(
  deps: GatewayDeps,
  parsed: Parsed,
  request: FineTuningRequest | BatchRequest,
  file: FileFacts,
): BoundedJob | ApiError | Promise<BoundedJob | ApiError> {
  return request.kind === 'fine_tuning'
    ? planTraining(deps, parsed, request, file)
    : planBatch(deps, parsed, request, file);
}

/** Whether a job is refused for what is not known of its file, or was counted at prices of another time. */
function wantsCount(
  { kind }: JobRequest,
  { count }: FileFacts,
  planned: BoundedJob | ApiError,
): planned is ApiError {
  if (!isApiError(planned)) return false;
  const { code, param } = planned;
  if (kind === 'batch') return param === BATCH_FILE && (code === 'unbounded_request' || code === 'conflict');
  return param === TRAINING_FILE && code === 'unbounded_request' && count?.kind !== 'training';
}

const BATCH_FILE = 'input_file_id';
const TRAINING_FILE = 'training_file';

let training: TrainingPrice[] | null = null;

function bookOf({ catalog }: GatewayDeps): PriceBook {
  training ??= readSeed().training;
  return priceBook(catalog.rates, [], training);
}

const HOURS = 'x-tollgate-max-hours';

function planTraining(
  deps: GatewayDeps,
  { call, request: { operation } }: Parsed,
  request: FineTuningRequest,
  file: FileFacts,
): BoundedJob | ApiError {
  const model = operation.model ?? '';
  const nowMs = deps.clock.nowMs();
  const book = bookOf(deps);
  const hours = call.exchange.header(HOURS);
  const question = { kind: 'fine_tune', model, epochs: request.epochs, hours } as const;
  const planned = planFineTune(question, book, nowMs);
  if (isApiError(planned)) return planned;
  const { price } = planned;
  const byHours = price.meter === 'training_seconds';
  if (byHours !== (request.method === 'reinforcement')) {
    const what = `No price is known of training the model '${model.slice(0, 100)}' by the method '${request.method}'.`;
    return apiError('unknown_price', what, { param: 'method.type' });
  }
  if (byHours && hours === undefined) {
    const what = `This training is billed by the hour, which nothing in the request bounds: say the most that it may run in the header '${HOURS}', for example '2.5'. It is cancelled then.`;
    return apiError('unbounded_request', what, { param: 'method' });
  }
  const count = byHours ? NOT_COUNTED : countOf(countJobOf(planned, book), file);
  if (isApiError(count)) return count;
  const reckoned = reckonFineTune(planned, count, book);
  if (isApiError(reckoned)) return reckoned;
  const own = deps.catalog.rates.find(model, nowMs)?.tiers.default;
  const priceId = own?.lines.some(({ meter }) => meter === price.meter) ? own.id : null;
  return {
    cost: usd(reckoned.cost_usd),
    inputTokens: 0,
    outputTokens: 0,
    priceId,
    model,
    terms: {
      kind: 'fine_tuning',
      model,
      meter: price.meter,
      rate: String(price.rate),
      per: price.per,
      priceId,
      secondsMax: byHours ? Math.floor(Number(hours) * 3600) : null,
    },
    wouldFit: (left) => fittingTraining(reckoned, left),
  };
}

/** What is billed by the hour costs the same whatever the file. */
const NOT_COUNTED: KnownCount = { tokens: 0, examples: null };

/** Tokens and examples of a training file, at most; an error where nothing bounds them. */
function countOf(job: CountJob, { bytes, count }: FileFacts): KnownCount | ApiError {
  const param = TRAINING_FILE;
  const counted = count?.kind === 'training' ? count : null;
  const examples = counted?.examples ?? null;
  const tokens = counted === null ? null : (countedAs(counted, job)?.tokens ?? null);
  if (tokens !== null) return { tokens, examples };
  // A token is at least a byte of text; an image may be a few bytes, as its address is.
  const mayHaveImages = counted === null ? job.imageRule !== null : counted.images > 0;
  if (bytes !== undefined && !mayHaveImages) return { tokens: bytes, examples };
  const what =
    counted === null
      ? 'How large the training file is, is not known here, and it could not be read: upload it through Tollgate in one piece (POST /v1/files).'
      : 'The training file has images, and no rule bounds what the model would be billed for them.';
  return apiError('unbounded_request', what, { param });
}

function fittingTraining(estimate: FineTuneEstimate, left: PicoUsd) {
  const { epochs, cost_per_epoch_usd: perEpoch, hours, price } = estimate;
  if (perEpoch === null) {
    const affordable = Number((left * 100n) / (usd(price.usd) || 1n)) / 100;
    const text = `It is held at ${hours} hours at $${price.usd} an hour; ${affordable} hours would fit.`;
    return { text, details: { max_hours: hours, affordable_hours: affordable } };
  }
  const affordable = Math.min(epochs, Number(left / (usd(perEpoch) || 1n)));
  const each = `${estimate.tokens} tokens × ${epochs} epochs at $${price.usd} per ${price.per}`;
  const fits =
    affordable === 0
      ? `Not even one epoch, of $${perEpoch}, would fit: use a smaller file or a cheaper model.`
      : `${affordable} epochs would fit, given as 'n_epochs'.`;
  const { tokens, trained_tokens } = estimate;
  return {
    text: `It is held at ${each}. ${fits}`,
    details: { tokens, epochs, trained_tokens, affordable_epochs: affordable },
  };
}

async function planBatch(
  deps: GatewayDeps,
  { account }: Parsed,
  _request: BatchRequest,
  { count }: FileFacts,
): Promise<BoundedJob | ApiError> {
  const param = BATCH_FILE;
  if (count?.kind !== 'batch') {
    const what =
      "The lines of this file were not read when it came, and cannot be read now: upload it through Tollgate in one piece (POST /v1/files), with the purpose 'batch'.";
    return apiError('unbounded_request', what, { param });
  }
  if (count.problem !== null)
    return apiError('invalid_request', `The batch is refused as a whole: ${count.problem}`, { param });
  const { principal } = account;
  const prices: Record<string, TermPrice> = {};
  for (const { model } of count.models) {
    const why = await whyNotModel(deps, principal.teamId, model);
    if (why !== null) return why;
    if (!includesModel(principal.models, model) || !includesModel(principal.teamModels, model))
      return apiError(
        'model_not_allowed',
        `This key may not use the model '${model.slice(0, 100)}', which lines of the batch name.`,
        { param },
      );
    const price = deps.catalog.rates.find(model, deps.clock.nowMs())?.tiers.batch;
    const counted = count.priceIds[model];
    if (price === undefined || price.id !== counted)
      return apiError(
        'conflict',
        `The price of '${model}' has changed since the file came: upload it again.`,
        { param },
      );
    prices[model] = termPriceOf(price);
  }
  return batchOf(count, prices);
}

function batchOf(
  count: Extract<FileCount, { kind: 'batch' }>,
  prices: Record<string, TermPrice>,
): BoundedJob {
  const { models, lines, priceIds } = count;
  const sum = (pick: (each: (typeof models)[number]) => number) =>
    models.reduce((all, each) => all + pick(each), 0);
  const names = [...new Set(models.map(({ model }) => model))];
  const cost = usd(count.usd);
  return {
    cost,
    inputTokens: sum((each) => each.inputTokens),
    outputTokens: sum((each) => each.outputTokens),
    priceId: names.length === 1 ? (priceIds[names[0] ?? ''] ?? null) : null,
    model: names.length === 1 ? (names[0] ?? '') : '',
    terms: { kind: 'batch', lines, prices },
    wouldFit: (left) => {
      const affordable = cost === 0n ? lines : Number((BigInt(lines) * left) / cost);
      const text = `Its ${lines} lines are held at $${formatUsd(cost)}; about ${affordable} such lines would fit. Output limits in the lines lower what they hold.`;
      return { text, details: { lines, affordable_lines: affordable } };
    },
  };
}
