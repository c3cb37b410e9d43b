/**
 * Operation: what one call is, and everything in it that can move its cost. Made by `openai/` from the wire
 * (parse), read by the estimate. It holds bounds, not prices.
 */
import type { ImageInput } from './images.ts';
import type { JobRequest } from './job.ts';
import type { KeptInput } from './kept.ts';
import type { ServiceTier } from './price.ts';
import type { FeeMeter, Quantities } from './quantities.ts';

/** An image, and which of the input's items brings it, where that is known. */
export interface PlacedImage extends ImageInput {
  readonly item?: number;
  /** Its bytes in the body that are no text. */
  readonly bytes?: number;
}

/**
 * What a request names of what the upstream keeps. `response`, `conversation`, `item`: only its id stands in the request.
 * `sealed`: encrypted content, which stands in it as text that says nothing of its tokens. `shown`: an item of a tool of the
 * upstream, of which more may be kept than the request shows.
 */
export interface Reference {
  readonly kind: 'response' | 'conversation' | 'item' | 'sealed' | 'shown';
  /** The id; of `sealed` the encrypted content. */
  readonly name: string;
  readonly param: string;
  /** Which of the input's items names it. */
  readonly item: number;
  /** The item itself stands in the request, with what of it is visible. */
  readonly isSent: boolean;
}

/** Earlier reasoning that the input brings. */
export interface SentReasoning {
  /** Which of the input's items it is. */
  readonly item: number;
  /** The id or seal by which it is known. */
  readonly name: string;
  /** The response that it came from, and the tokens of all reasoning in it; null: not known. */
  readonly response: object | null;
  readonly tokens: number | null;
}

/** The parts of an input that may cost more tokens than they have bytes. */
export interface BeyondText {
  images: PlacedImage[];
  /** Bytes of the body that are images or audio, hence no text. */
  imageBytes: number;
  /** The field of the first image or page. */
  imageParam: string | null;
  /** Tokens of audio, which are among `moreTokens`; its bytes are among `imageBytes`. */
  audioTokens: number;
  /** Tokens that stand nowhere in the body: definitions that the upstream writes. */
  moreTokens: number;
  /**
   * The first field that only the model's sourced maximum input bounds; without a source the call is refused as unbounded.
   * Null: none.
   */
  windowParam: string | null;
  /** The field may bring images of its own, of which a request may have many. */
  hasFiles: boolean;
  /** Pages of documents, and the most tokens of their text, where both are known. */
  pages: number;
  documentTokens: number;
  /** Files are read from their address, each time. */
  hasRemoteFiles: boolean;
  /** How often the upstream may write the model's longest output beside the answer, to compact what came before. */
  compactions: number;
  /** What the upstream keeps; its weight is not in any of the above until it was recalled. Null: nothing. */
  references: Reference[] | null;
  /** The references that are reasoning, as they were recalled. */
  reasoning: SentReasoning[];
}

export function noneBeyondText(): BeyondText {
  return {
    images: [],
    imageBytes: 0,
    imageParam: null,
    audioTokens: 0,
    moreTokens: 0,
    windowParam: null,
    hasFiles: false,
    pages: 0,
    documentTokens: 0,
    hasRemoteFiles: false,
    compactions: 0,
    references: null,
    reasoning: [],
  };
}

/** Tools that the upstream runs, as often as the model likes up to a limit, and reads on after each call. */
export interface HostedTools {
  /** Those of which a call has a fee of its own; the others cost what is read. */
  meters: FeeMeter[];
  /** The first field that asks for one. */
  param: string;
  /** The client's own limit of calls, of all these tools together; null: it set none, so one is written in. */
  calls: number | null;
  /** Every request makes that many calls, and its response does not say how many: that many are billed. */
  always: boolean;
  /** Calls that the client approves in this request: they are made whatever the limit. */
  approved: number;
  /** The containers that it may begin a session of; null: there are none. */
  containers: HostedContainer[] | null;
  /** The tool that makes images; null: it is not among them. */
  images: ImageTool | null;
}

/** Returns what asks for so many calls of tools, and names none. */
export function noCalls(param: string, calls: number | null): HostedTools {
  return { meters: [], param, calls, always: false, approved: 0, containers: null, images: null };
}

/** The tool that makes images, by a model of its own. */
export interface ImageTool {
  readonly model: string;
  readonly param: string;
  /** The most output tokens of one image. */
  readonly outputTokens: number;
  readonly fidelity: 'low' | 'high' | null;
  readonly hasMask: boolean;
  /** Which of the request's tools its model is written into; null: the client named one. */
  readonly writtenInto: number | null;
}

/** Usage that a request itself says. */
export interface StatedUsage {
  readonly usage: Quantities;
  /** The price is per what was counted, so that the bill is exact; otherwise it was measured here. */
  readonly isExact: boolean;
}

export interface HostedContainer {
  /** Null: the call makes it. */
  readonly id: string | null;
  /** Null: it is not known. */
  memoryGib: number | null;
}

/** The memory that the API gives a container, in GiB: the least is the default (OpenAPI specification 2.3.0). */
export const CONTAINER_GIB = [1, 4, 16, 64] as const;

export interface Operation {
  /** Null for operations without one (`models.list`). */
  model: string | null;
  /** Whether this operation costs money at all (moderations and models do not). */
  billable: boolean;
  /** Upper bound of input tokens: the bytes of the body plus framing; tokens never exceed UTF-8 bytes. */
  inputTokensBound: number;
  /** What of the input its bytes do not bound; null: it is text. */
  beyondText: BeyondText | null;
  /** True: the API refuses a request whose whole input is above the model's maximum. */
  inputAtMostModelMaximum: boolean;
  /** The client's own limit of output tokens per choice; null: open-ended. 0 where an operation has no output. */
  outputTokensLimit: number | null;
  /** How many choices the request has (`n`, `best_of`, several prompts): multiplies the output limit. */
  choices: number;
  /** Output tokens billed beyond the limit (a rejected prediction), bounded by the body's bytes. */
  extraOutputTokens: number;
  /** Null: the upstream runs none. */
  hosted: HostedTools | null;
  /** The most of every meter beside input and output tokens of text; missing or null: nothing else is billed. */
  otherBounds?: Quantities | null;
  /**
   * It is billed by some of its bounds alone, and its price says by which: speech by characters or by tokens, an image as one
   * or by its tokens. Missing: by all of them.
   */
  isBilledEither?: boolean;
  /** What is billed where the response reports no usage, because the request says it; missing or null: nothing of it does. */
  stated?: StatedUsage | null;
  /** The name of its price where one model has several; missing or null: the model's. */
  pricedAs?: string | null;
  /** The client's `service_tier`: null when missing, null or `auto` (then it is sent as `default`). */
  serviceTier: Exclude<ServiceTier, 'batch'> | null;
  /** `safety_identifier` or `user`: the end user, where limits count one. */
  endUser: string | null;
  /** What later calls may come back to; null: the upstream keeps nothing of it. */
  kept: KeptInput | null;
  /** The most tokens that its items add to a conversation; null: nothing bounds them; missing: it brings none. */
  itemTokens?: number | null;
  /** What it is to do as a job; missing: it is none. */
  job?: JobRequest;
}
