/**
 * How a job ended, and what it cost, by what the upstream says of it. Owns: the rules of each kind. Does not own: asking the
 * upstream, nor the ledger (follow-jobs.ts). Invariants: what is not over has no end; where the cost is not said, it is the
 * hold, never less.
 */
import { toolCost, toolUsage } from '../domain/hosted.ts';
import {
  type EvalRunTerms,
  type FineTuningTerms,
  hostedOfTerms,
  type JobEnd,
  type JobModel,
  priceOfTerm,
  type ResponseTerms,
} from '../domain/job-terms.ts';
import { divideUp, type PicoUsd } from '../domain/money.ts';
import { costAt, costOf, includesModel, type Price } from '../domain/price.ts';
import { formatUsd, isCount, quantityOf } from '../domain/quantities.ts';
import type { MeteredResponse, Usage } from '../domain/usage.ts';
import { isObject, type Json, type JsonObject, parseJson } from '../openai/body.ts';
import { OPERATIONS } from '../openai/operations/table.ts';
import { meterWhole } from '../openai/response.ts';
import type { JobProgress } from '../store/hot/jobs.ts';

const NOTHING = { usage: null, responseModel: null, serviceTier: null, priceId: null, made: [] } as const;

function voidedEnd(reason: string): JobEnd {
  return { ...NOTHING, outcome: 'voided', provenance: 'reported', reason, cost: 0n };
}

/** Nothing says what it cost: it stays charged at its hold. */
export function unknownEnd(held: PicoUsd, reason: string): JobEnd {
  return { ...NOTHING, outcome: 'unknown', provenance: 'unknown', reason, cost: held };
}

/** What is over by the upstream's account. */
const OVER = new Set(['succeeded', 'failed', 'cancelled', 'canceled', 'completed', 'expired', 'incomplete']);

export function isOver(job: JsonObject): boolean {
  return typeof job.status === 'string' && OVER.has(job.status);
}

/**
 * The end of a fine-tuning job. `trained_tokens` are all that is billed (specification 2.3.0: null while it runs). By the hour its
 * core loop is billed, and no failure (OpenAI's article on the billing of reinforcement fine-tuning).
 * @param seconds how long its loop ran, where it is billed by them; null: nothing says
 */
export function fineTuningEnd(
  job: JsonObject,
  terms: FineTuningTerms,
  held: PicoUsd,
  { hasRun, cancelledFor }: JobProgress,
  seconds: number | null,
): JobEnd {
  const { status, trained_tokens: trained, fine_tuned_model: model, result_files: files } = job;
  const names = [model, ...(Array.isArray(files) ? files : [])];
  const made = names.flatMap((id, index) =>
    typeof id === 'string' && id !== ''
      ? [{ kind: index === 0 ? ('model' as const) : ('file' as const), id }]
      : [],
  );
  const responseModel = typeof model === 'string' ? model : null;
  const isDone = status === 'succeeded';
  const known = { ...NOTHING, made, responseModel, priceId: terms.priceId };
  if (terms.meter === 'training_seconds') {
    if (status === 'failed') return { ...voidedEnd('upstream_error'), made };
    if (seconds === null)
      return hasRun || isDone ? { ...unknownEnd(held, 'usage_missing'), made } : voidedEnd(String(status));
    const cost = divideUp(BigInt(seconds) * BigInt(terms.rate), BigInt(terms.per));
    const usage = { training_seconds: quantityOf('training_seconds', seconds) };
    const reason = overrun(cost, held) ?? (isDone ? null : (cancelledFor ?? String(status)));
    return { ...known, outcome: 'settled', provenance: 'estimated', reason, cost, usage };
  }
  if (isCount(trained)) {
    const cost = divideUp(BigInt(trained) * BigInt(terms.rate), BigInt(terms.per));
    if (cost === 0n && !isDone) return { ...voidedEnd(String(status)), made };
    const reason = overrun(cost, held) ?? (isDone ? null : String(status));
    return {
      ...known,
      outcome: 'settled',
      provenance: 'reported',
      reason,
      cost,
      usage: { trained_tokens: trained },
    };
  }
  if (status === 'failed' || (status === 'cancelled' && !hasRun))
    return { ...voidedEnd(String(status)), made };
  return { ...unknownEnd(held, 'usage_missing'), made };
}

function overrun(cost: PicoUsd, held: PicoUsd): string | null {
  return cost > held ? 'overrun' : null;
}

/** Where the usage of a response stands, by the object that it says it is. */
const BY_OBJECT = new Map(
  OPERATIONS.flatMap(({ usage }) => (usage?.object === undefined ? [] : [[usage.object, usage] as const])),
);

/** Adds up the lines that a batch has finished. */
export class BatchBill {
  /** Of the lines that could be priced. */
  cost = 0n;
  lines = 0;
  /** Finished lines whose cost nothing says. */
  unpriced = 0;
  readonly usage = {
    input_tokens: 0,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 0,
    reasoning_tokens: 0,
  };
  readonly #prices: ReadonlyMap<string, Price>;

  /** @param prices in a batch, by the names that its lines ask for */
  constructor(prices: ReadonlyMap<string, Price>) {
    this.#prices = prices;
  }

  /** A line of an output file: `{custom_id, response: {status_code, body}, error}`. */
  add(line: Buffer | null): void {
    if (line !== null && line.length === 0) return;
    const json = line === null ? undefined : parseJson(line.toString());
    const response = isObject(json) ? json.response : undefined;
    const isRefused = isObject(json) && (!isObject(response) || !isAnswered(response.status_code));
    if (isRefused) return;
    this.lines++;
    const cost = isObject(response) ? this.#priceOf(response.body) : null;
    if (cost === null) this.unpriced++;
    else this.cost += cost;
  }

  #priceOf(body: Json | undefined): PicoUsd | null {
    if (!isObject(body)) return null;
    const place = BY_OBJECT.get(typeof body.object === 'string' ? body.object : '') ?? null;
    if (place === null) return null;
    const { usage, model } = meterWhole(place, body);
    if (usage === null || model === null) return null;
    const asked = [...this.#prices.keys()].find((name) => includesModel([name], model));
    const price = asked === undefined ? undefined : this.#prices.get(asked);
    const cost = price === undefined ? null : costOf(usage, price);
    if (cost !== null) this.#addUsage(usage);
    return cost;
  }

  #addUsage(usage: Usage): void {
    for (const name of Object.keys(this.usage) as (keyof BatchBill['usage'])[])
      this.usage[name] += usage[name] ?? 0;
  }
}

function isAnswered(status: Json | undefined): boolean {
  return typeof status === 'number' && status >= 200 && status < 300;
}

/** The end of a batch: its finished lines are billed, whatever ended it. */
export function batchEnd(batch: JsonObject, bill: BatchBill, held: PicoUsd, priceId: string | null): JobEnd {
  const made = [batch.output_file_id, batch.error_file_id].flatMap((id) =>
    typeof id === 'string' && id !== '' ? [{ kind: 'file' as const, id }] : [],
  );
  if (bill.lines === 0) return { ...voidedEnd(String(batch.status)), made };
  const known = { ...NOTHING, made, serviceTier: 'batch', priceId, usage: bill.usage };
  if (bill.unpriced > 0) {
    const cost = bill.cost > held ? bill.cost : held;
    return { ...known, outcome: 'settled', provenance: 'estimated', reason: 'usage_missing', cost };
  }
  const reason = overrun(bill.cost, held) ?? (batch.status === 'completed' ? null : String(batch.status));
  return { ...known, outcome: 'settled', provenance: 'reported', reason, cost: bill.cost };
}

/**
 * The end of a run of an eval: `per_model_usage` is what its models used, the graders' among them. It tells neither what was written to
 * the cache nor how long each call was: where a price depends on that, the run costs the most that it can have.
 */
export function evalRunEnd(run: JsonObject, terms: EvalRunTerms, held: PicoUsd): JobEnd {
  const { status, per_model_usage: list } = run;
  const isDone = status === 'completed';
  if (!Array.isArray(list)) return unknownEnd(held, 'usage_missing');
  const asked = Object.entries(terms.models);
  const bills = list.map((each) => billOfModel(isObject(each) ? each : {}, terms));
  const used = bills.filter((bill) => bill === null || bill.most > 0n || bill.calls > 0);
  if (used.length === 0)
    return isDone && asked.length > 0 ? unknownEnd(held, 'usage_missing') : voidedEnd(String(status));
  const [only, another] = asked;
  const serviceTier = 'default';
  const priceId = another === undefined ? (only?.[1].price.id ?? null) : null;
  const known = { ...NOTHING, outcome: 'settled', serviceTier, priceId, usage: sumOfModels(bills) } as const;
  const priced = used.filter((bill) => bill !== null);
  const least = priced.reduce((all, bill) => all + bill.least, 0n);
  const most = priced.reduce((all, bill) => all + bill.most, 0n);
  if (priced.length < used.length) {
    const cost = least > held ? least : held;
    return { ...known, provenance: 'estimated', reason: 'usage_missing', cost };
  }
  if (least === most) {
    const reason = overrun(most, held) ?? (isDone ? null : String(status));
    return { ...known, provenance: 'reported', reason, cost: most, models: modelsOf(priced, most) };
  }
  const capped = most < held ? most : held;
  const cost = least > capped ? least : capped;
  const models = modelsOf(priced, cost);
  return { ...known, provenance: 'estimated', reason: 'usage_missing', cost, models };
}

/** Shares the cost of a run among its models, each at least at what it surely cost. */
function modelsOf(bills: readonly ModelBill[], cost: PicoUsd): JobModel[] {
  let rest = bills.reduce((left, { least }) => left - least, cost);
  return bills.map(({ model, calls, usage, priceId, least, most }) => {
    const more = most - least < rest ? most - least : rest;
    rest -= more;
    return { model, calls, usage, priceId, usd: formatUsd(least + more) };
  });
}

interface ModelBill {
  readonly model: string;
  readonly priceId: string;
  readonly calls: number;
  readonly usage: Usage;
  /** Between these the calls of the model are billed. */
  readonly least: PicoUsd;
  readonly most: PicoUsd;
}

/** Returns what a member of `per_model_usage` is billed; null: nothing says. */
function billOfModel(
  { model_name: name, invocation_count: calls, ...counts }: JsonObject,
  { models }: EvalRunTerms,
): ModelBill | null {
  const input = counts.prompt_tokens;
  const cached = counts.cached_tokens ?? 0;
  const output = counts.completion_tokens;
  if (typeof name !== 'string' || !isCount(input) || !isCount(cached) || !isCount(output)) return null;
  const asked = Object.keys(models).find((model) => includesModel([model], name));
  const terms = asked === undefined ? undefined : models[asked];
  if (terms === undefined || cached > input) return null;
  const usage = { input_tokens: input, cached_input_tokens: cached, output_tokens: output };
  const written = { ...usage, cache_write_tokens: input - cached };
  const { short, long } = priceOfTerm(terms.price);
  const bands = terms.mayBeLong && long !== null ? [short, long] : [short];
  const writes = terms.price.lines.some(({ meter }) => meter === 'cache_write_tokens');
  const costs = bands.flatMap((rates) =>
    (writes ? [usage, written] : [usage]).map((each) => costAt(rates, each)),
  );
  const known = costs.filter((cost) => cost !== null).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const [least, most] = [known[0], known.at(-1)];
  if (known.length < costs.length || least === undefined || most === undefined) return null;
  return { model: name, priceId: terms.price.id, calls: isCount(calls) ? calls : 0, usage, least, most };
}

function sumOfModels(bills: readonly (ModelBill | null)[]): Usage {
  const sum = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 };
  for (const bill of bills)
    for (const meter of Object.keys(sum) as (keyof typeof sum)[]) sum[meter] += bill?.usage[meter] ?? 0;
  return sum;
}

/** Meters a response that the upstream worked on by itself. */
export function meterBackground(response: JsonObject): MeteredResponse {
  const place = BY_OBJECT.get('response');
  if (place === undefined) throw new Error('no operation has the usage of a response');
  return meterWhole(place, response);
}

/**
 * The end of a response that the upstream worked on by itself. One that was cancelled reports no usage: it stays at its hold.
 * @param prices by the tier that may be billed
 * @param sessions of containers that it began, counted by their GiB; null: that could not be found out
 */
export function responseEnd(
  { state, serviceTier, model, usage, hosted: used }: MeteredResponse,
  { hosted }: ResponseTerms,
  held: PicoUsd,
  prices: ReadonlyMap<string, Price>,
  sessions: number | null,
): JobEnd {
  if (state === 'declined') return voidedEnd('upstream_error');
  const tier = serviceTier ?? 'default';
  const price = prices.get(tier === 'fast' ? 'priority' : tier === 'auto' ? 'default' : tier);
  const ofTokens = price === undefined || usage === null ? null : costOf(usage, price);
  const known = { ...NOTHING, responseModel: model, serviceTier };
  if (ofTokens === null || price === undefined)
    return { ...known, ...unknownEnd(held, usage === null ? 'usage_missing' : 'tier_unpriced') };
  const settled = { ...known, outcome: 'settled', priceId: price.id, usage } as const;
  const tools = hosted === undefined ? null : hostedOfTerms(hosted);
  const isSaid = sessions !== null && (tools !== null || used === undefined);
  const ofTools = !isSaid ? null : tools === null ? NO_TOOLS : toolCost(tools, used, sessions);
  if (ofTools === null || sessions === null)
    return { ...settled, provenance: 'estimated', reason: 'usage_missing', cost: held };
  const cost = ofTokens + ofTools.cost;
  return {
    ...settled,
    provenance: ofTools.isReported ? 'reported' : 'estimated',
    reason: overrun(cost, held) ?? (ofTools.isReported ? null : 'usage_missing'),
    cost,
    usage: tools === null ? usage : { ...usage, ...toolUsage(tools, used, sessions) },
  };
}

const NO_TOOLS = { cost: 0n, isReported: true } as const;
