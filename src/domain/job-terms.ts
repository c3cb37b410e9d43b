/** By which terms a job is settled: prices and fees as they were when it was asked for. Pure. */
import { FEE_METERS, type HostedBound } from './hosted.ts';
import type { PicoUsd } from './money.ts';
import type { HostedContainer } from './operation.ts';
import { makePrice, type Price, type PriceFields } from './price.ts';
import type { FeeMeter } from './quantities.ts';
import type { PriceLine } from './rates.ts';
import type { Usage } from './usage.ts';

/** By which a fine-tuning job is settled. */
export interface FineTuningTerms {
  readonly kind: 'fine_tuning';
  readonly model: string;
  readonly meter: 'trained_tokens' | 'training_seconds';
  /** Pico-USD for so many units, as decimal text. */
  readonly rate: string;
  readonly per: number;
  readonly priceId: string | null;
  /** The most that its training loop may run; null: it is billed by tokens. */
  readonly secondsMax: number | null;
}

/** A price as it was when a job was asked for, as JSON: rates are pico-USD as decimal text. */
export type TermPrice = Omit<PriceFields, 'lines'> & {
  readonly lines: readonly (Omit<PriceLine, 'rate'> & { readonly rate: string })[];
};

export function termPriceOf({ short: _short, long: _long, ...fields }: Price): TermPrice {
  return { ...fields, lines: fields.lines.map((line) => ({ ...line, rate: String(line.rate) })) };
}

export function priceOfTerm(term: TermPrice): Price {
  return makePrice({ ...term, lines: term.lines.map((line) => ({ ...line, rate: BigInt(line.rate) })) });
}

/** By which a batch is settled: the prices in a batch, by the names that its lines ask for. */
export interface BatchTerms {
  readonly kind: 'batch';
  readonly lines: number;
  readonly prices: Readonly<Record<string, TermPrice>>;
}

/** By which a response is settled that the upstream works on by itself. */
export interface ResponseTerms {
  readonly kind: 'response';
  readonly model: string;
  /** By the tier that may be billed. */
  readonly prices: Readonly<Record<string, TermPrice>>;
  /** What the tools cost that the upstream runs for it; missing: it runs none. */
  readonly hosted?: HostedTerms;
}

/** By which a run of an eval is settled: its models, by the names that the run and the eval ask for. */
export interface EvalRunTerms {
  readonly kind: 'eval_run';
  readonly evalId: string;
  readonly items: number;
  readonly models: Readonly<Record<string, EvalModelTerms>>;
}

export interface EvalModelTerms {
  readonly price: TermPrice;
  /** Some call may be long enough for the price of long contexts. */
  readonly mayBeLong: boolean;
}

/** What tools of the upstream cost, as it was when the job was asked for: amounts are pico-USD as decimal text. */
export interface HostedTerms {
  readonly fees: Readonly<Partial<Record<FeeMeter, string>>>;
  readonly calls: number;
  readonly always: boolean;
  readonly feePerSession: string;
  readonly containers: readonly HostedContainer[];
  readonly images: { readonly price: TermPrice; readonly most: string } | null;
}

function hostedTermsOf(
  { fees, calls, always, feePerSession, images }: HostedBound,
  containers: readonly HostedContainer[],
): HostedTerms {
  const asText = Object.entries(fees).map(([meter, fee]) => [meter, String(fee)]);
  return {
    fees: Object.fromEntries(asText),
    calls,
    always,
    feePerSession: String(feePerSession),
    containers,
    images: images && { price: termPriceOf(images.price), most: String(images.most) },
  };
}

/** Returns what tools cost by the terms of a job. */
export function hostedOfTerms({
  fees,
  calls,
  always,
  feePerSession,
  images,
}: HostedTerms): Pick<HostedBound, 'fees' | 'calls' | 'always' | 'feePerSession' | 'images'> {
  const amounts: HostedBound['fees'] = {};
  for (const meter of FEE_METERS) {
    const fee = fees[meter];
    if (fee !== undefined) amounts[meter] = BigInt(fee);
  }
  return {
    fees: amounts,
    calls,
    always,
    feePerSession: BigInt(feePerSession),
    images: images && { price: priceOfTerm(images.price), most: BigInt(images.most) },
  };
}

export type JobTerms = FineTuningTerms | BatchTerms | ResponseTerms | EvalRunTerms;

/** Returns the models that a job may be billed for, by the names that it asks for. */
export function modelsOfTerms(terms: JobTerms): string[] {
  if (terms.kind === 'batch') return Object.keys(terms.prices);
  return terms.kind === 'eval_run' ? Object.keys(terms.models) : [terms.model];
}

/** A job whose cost is bounded. */
export interface PlannedJob {
  readonly terms: JobTerms;
  /** As reports name it; empty: several. */
  readonly model: string;
  /** What would pass where so much money is left; null: what would of any call. */
  readonly wouldFit:
    | ((left: PicoUsd) => { text: string; details: Record<string, string | number | null> })
    | null;
}

/** The same with its bound: at most. */
export interface BoundedJob extends PlannedJob {
  readonly cost: PicoUsd;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Null: of several prices. */
  readonly priceId: string | null;
}

/** How a response in the background is settled: at the tier that it names, and by the tools that it shows. */
export function backgroundJob(
  model: string,
  tiers: Readonly<Partial<Record<string, Price>>>,
  hosted: HostedBound | null,
  containers: readonly HostedContainer[] | null,
): PlannedJob {
  const prices: Record<string, TermPrice> = {};
  for (const [tier, price] of Object.entries(tiers))
    if (price !== undefined && tier !== 'batch') prices[tier] = termPriceOf(price);
  const tools = hosted === null ? null : { hosted: hostedTermsOf(hosted, containers ?? []) };
  return { terms: { kind: 'response', model, prices, ...tools }, model, wouldFit: null };
}

/** What one model of a job with several was used and charged for. */
export interface JobModel {
  /** As the upstream says it. */
  readonly model: string;
  readonly calls: number;
  readonly usage: Usage;
  /** USD as decimal text. */
  readonly usd: string;
  readonly priceId: string;
}

/** What a job cost, once it has ended. */
export interface JobEnd {
  readonly outcome: 'settled' | 'voided' | 'unknown';
  readonly provenance: 'reported' | 'estimated' | 'unknown';
  /** Why it is not an ordinary settled one; null: it is. */
  readonly reason: string | null;
  readonly cost: PicoUsd;
  readonly usage: Usage | null;
  readonly responseModel: string | null;
  readonly serviceTier: string | null;
  readonly priceId: string | null;
  /** What it leaves behind that belongs to its team. */
  readonly made: readonly { readonly kind: 'model' | 'file'; readonly id: string }[];
  /** Its cost and usage by model, where the upstream tells them; missing: it does not. */
  readonly models?: readonly JobModel[];
}
