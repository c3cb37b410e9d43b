/**
 * Jobs: calls that go on upstream after their response. Owns: their kinds and states, what a request asks for, and by which
 * terms a job is settled. Pure.
 */
import type { PicoUsd } from './money.ts';
import { makePrice, type Price, type PriceFields } from './price.ts';
import type { PriceLine } from './rates.ts';
import type { Usage } from './usage.ts';

export const JOB_KINDS = ['fine_tuning', 'batch', 'response'] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/**
 * `asked`: its hold is durable, and the upstream was perhaps asked. `running`: the upstream has named it. The others are ends:
 * `settled` at its usage, `voided` without a cost, `unknown`: it stays charged at its hold.
 */
export const JOB_STATES = ['asked', 'running', 'settled', 'voided', 'unknown'] as const;
export type JobState = (typeof JOB_STATES)[number];

export interface FineTuningRequest {
  readonly kind: 'fine_tuning';
  readonly method: 'supervised' | 'dpo' | 'reinforcement';
  readonly epochs: 'auto' | number;
  /** Id of the training file. */
  readonly file: string;
}

export interface BatchRequest {
  readonly kind: 'batch';
  /** Id of the file with its lines. */
  readonly file: string;
  /** Path of the operation of its lines, as the client wrote it. */
  readonly endpoint: string;
}

/** A response in the background: bounded as one that is waited for. */
export interface BackgroundRequest {
  readonly kind: 'response';
}

/** What a job's request asks for. */
export type JobRequest = FineTuningRequest | BatchRequest | BackgroundRequest;

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
}

export type JobTerms = FineTuningTerms | BatchTerms | ResponseTerms;

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

/** How a response in the background is settled: at the tier that it names. */
export function backgroundJob(model: string, tiers: Readonly<Partial<Record<string, Price>>>): PlannedJob {
  const prices: Record<string, TermPrice> = {};
  for (const [tier, price] of Object.entries(tiers))
    if (price !== undefined && tier !== 'batch') prices[tier] = termPriceOf(price);
  return { terms: { kind: 'response', model, prices }, model, wouldFit: null };
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
}
