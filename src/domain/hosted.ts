/**
 * Tools that the upstream runs: what a call that offers them may cost beside its tokens, and what it did cost. Owns: their fees,
 * and how many calls are held for. Does not own: what each turn reads (estimate.ts), nor how many were made
 * (openai/response.ts). Pure.
 */
import { ApiError, apiError } from './errors.ts';
import { editedImageTokens, IMAGES_READ_MOST, PROMPT_TOKENS_MOST } from './made-images.ts';
import { divideUp, type PicoUsd } from './money.ts';
import {
  type BeyondText,
  CONTAINER_GIB,
  type HostedContainer,
  type HostedTools,
  type ImageTool,
} from './operation.ts';
import { costOf, type Price, type RateCards } from './price.ts';
import type { FeeMeter } from './quantities.ts';
import { dearest } from './rates.ts';
import type { HostedUse, MadeImages, Usage } from './usage.ts';

/** What the tools of a call may cost that the upstream runs: each call its fee, and one more turn that reads the window. */
export interface HostedBound {
  /** By meter, what a call of its tool costs; empty: what it reads is all. */
  readonly fees: Partial<Record<FeeMeter, PicoUsd>>;
  /** How many calls are held for. */
  readonly calls: number;
  /** Responses do not say how many there were: it is always this many. */
  readonly always: boolean;
  /** Calls beyond those, which the client approves. */
  readonly approved: number;
  /** Sessions of containers that it may begin, counted by their GiB of memory, and what one costs. */
  readonly sessions: number;
  readonly feePerSession: PicoUsd;
  /** Null: it makes no images. */
  readonly images: ImageBound | null;
}

/** The price of the model that makes images, and the most that one image costs. */
export interface ImageBound {
  readonly price: Price;
  readonly most: PicoUsd;
}

/** Held for a container of which it is not known. */
const MOST_GIB = Math.max(...CONTAINER_GIB);

/** Calls that a response may make where its client set no limit; fewer where the money does not reach. */
export const CALLS_WRITTEN_IN = 4;

/**
 * Returns what the tools of a call may cost, with this many calls where its client set no limit. Error: `unknown_price` where
 * one of them has no price at that moment (milliseconds since the epoch).
 * @param beyondText what of the call's input is more than text: images among it may be edited
 */
export function hostedBound(
  { meters, calls, always, approved, containers, images, param }: HostedTools,
  rates: Pick<RateCards, 'toolFee' | 'sessionFee' | 'find'>,
  context: { model: string; atMs: number; callsWrittenIn: number; beyondText: BeyondText | null },
): HostedBound | ApiError {
  const { model, atMs, callsWrittenIn, beyondText } = context;
  const fees: HostedBound['fees'] = {};
  for (const meter of meters) {
    const fee = rates.toolFee(meter, model, atMs);
    if (fee === null) return unpriced(`what '${param}' offers`, param);
    fees[meter] = fee;
  }
  const sessions = containers?.reduce((sum, { memoryGib }) => sum + (memoryGib ?? MOST_GIB), 0) ?? 0;
  const feePerSession = sessions === 0 ? 0n : rates.sessionFee(atMs);
  if (feePerSession === null) return unpriced(`what '${param}' offers`, param);
  const most = calls ?? callsWrittenIn;
  const made = images === null ? null : imageBound(images, rates.find(images.model, atMs), beyondText, most);
  if (made instanceof ApiError) return made;
  return { fees, calls: most, always, approved, sessions, feePerSession, images: made };
}

function unpriced(what: string, param: string): ApiError {
  return apiError('unknown_price', `No price is known for ${what}. An administrator can add one.`, { param });
}

/**
 * The most that one of so many images costs: the longest prompt, all images that the call has by then, and the image itself, each
 * token at its dearest.
 */
function imageBound(
  { model, param, outputTokens, fidelity, hasMask }: ImageTool,
  card: ReturnType<RateCards['find']>,
  beyondText: BeyondText | null,
  calls: number,
): ImageBound | ApiError {
  const price = card?.tiers.default;
  const isOfImages = price?.lines.some(({ meter }) => meter === 'output_image_tokens');
  if (!price || !isOfImages)
    return unpriced(`images of the model '${model.slice(0, 100)}'`, `${param}.model`);
  const { factors, denominator } = price.short;
  const text = dearest('input_tokens', factors);
  const read = dearest('input_image_tokens', factors);
  const written = [dearest('output_tokens', factors), dearest('output_image_tokens', factors)];
  const [ofText = null, ofImage = null] = written;
  if (text === null || read === null || ofText === null || ofImage === null)
    return unpriced(`all tokens of the model '${model.slice(0, 100)}'`, `${param}.model`);
  const readTokens = imagesRead(beyondText, calls - 1)
    .map((size) => editedImageTokens(model, size, fidelity))
    .sort((a, b) => b - a)
    .slice(0, IMAGES_READ_MOST)
    .reduce((sum, tokens) => sum + tokens, hasMask ? editedImageTokens(model, null, fidelity) : 0);
  const total =
    BigInt(PROMPT_TOKENS_MOST) * text +
    BigInt(readTokens) * read +
    BigInt(outputTokens) * (ofText > ofImage ? ofText : ofImage);
  return { price, most: divideUp(total, denominator) };
}

/** The sizes of the images that a call may have when it makes its last one; null: a size is not known. */
function imagesRead(beyondText: BeyondText | null, madeBefore: number) {
  const shown = beyondText?.images.map(({ size }) => size) ?? [];
  const isOpen =
    beyondText !== null &&
    (beyondText.references !== null || beyondText.windowParam !== null || beyondText.pages > 0);
  const hidden = isOpen ? IMAGES_READ_MOST : Math.min(IMAGES_READ_MOST, Math.max(0, madeBefore));
  return [...shown, ...new Array<null>(hidden).fill(null)];
}

/** Returns the most that calls and sessions cost beside what they read. */
export function mostFees({ fees, calls, approved, sessions, feePerSession, images }: HostedBound): PicoUsd {
  let most = 0n;
  for (const fee of Object.values(fees)) if (fee > most) most = fee;
  const dearestCall = images !== null && images.most > most ? images.most : most;
  return dearestCall * BigInt(calls) + most * BigInt(approved) + feePerSession * BigInt(sessions);
}

/**
 * Returns which calls of the upstream's tools are billed, by meter.
 * @param sessions of containers that they began, counted by their GiB
 */
export function toolUsage(
  { fees, always, calls }: Pick<HostedBound, 'fees' | 'always' | 'calls'>,
  used: HostedUse | undefined,
  sessions: number,
): Usage {
  const usage: Usage = {};
  const webSearches = always ? calls : (used?.webSearches ?? 0);
  const meter = fees.web_search_preview_calls === undefined ? 'web_search_calls' : 'web_search_preview_calls';
  if (webSearches > 0) usage[meter] = webSearches;
  if (used?.fileSearches) usage.file_search_calls = used.fileSearches;
  if (sessions > 0) usage.container_sessions = sessions;
  const images = used?.images?.usage;
  if (images?.input_tokens) usage.image_tool_input_tokens = images.input_tokens;
  if (images?.output_tokens) usage.image_tool_output_tokens = images.output_tokens;
  return usage;
}

/** What tools of the upstream cost. */
export interface ToolCost {
  readonly cost: PicoUsd;
  /** False: something of it is charged at the most that it can have been. */
  readonly isReported: boolean;
}

/** Returns what the upstream's tools cost beside the usage of the model; null: it ran some of which no fee is known. */
export function toolCost(
  hosted: Pick<HostedBound, 'fees' | 'calls' | 'always' | 'feePerSession' | 'images'>,
  used: HostedUse | undefined,
  sessions: number,
): ToolCost | null {
  let cost = hosted.feePerSession * BigInt(sessions);
  const { web_search_calls, web_search_preview_calls, file_search_calls } = toolUsage(hosted, used, 0);
  const calls = { web_search_calls, web_search_preview_calls, file_search_calls };
  for (const meter of FEE_METERS) {
    const amount = calls[meter] ?? 0;
    const fee = hosted.fees[meter];
    if (amount > 0 && fee === undefined) return null;
    cost += (fee ?? 0n) * BigInt(amount);
  }
  const images = used?.images ?? null;
  if (images === null) return { cost, isReported: true };
  const ofImages = hosted.images === null ? null : imageCost(hosted.images, images);
  return ofImages === null ? null : { cost: cost + ofImages.cost, isReported: ofImages.isReported };
}

/** The meters of tools of which each call has a fee. */
export const FEE_METERS = ['web_search_calls', 'web_search_preview_calls', 'file_search_calls'] as const;

function imageCost({ price, most }: ImageBound, { count, usage }: MadeImages): ToolCost {
  const cost = usage === null ? null : costOf(usage, price);
  return cost === null ? { cost: most * BigInt(count), isReported: false } : { cost, isReported: true };
}

/** Returns the containers that a response used, each with its memory; null: it is not known. @param asked what its call may use */
export function usedContainers(
  used: readonly string[],
  asked: readonly HostedContainer[],
): { id: string; gib: number | null }[] {
  // A container of its own has the memory that was asked for, unless it is an earlier one that lives on.
  const made = asked.flatMap(({ id, memoryGib }) => (id === null ? [memoryGib ?? Number.NaN] : []));
  const most = Math.max(...made);
  const own = Number.isFinite(most) ? most : null;
  return used.map((id) => {
    const named = asked.find((each) => each.id === id);
    return { id, gib: named === undefined ? own : named.memoryGib };
  });
}
