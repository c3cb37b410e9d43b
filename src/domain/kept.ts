/**
 * What the upstream keeps, and what it weighs as input of a later call: responses with their items, and conversations.
 * Owns: the arithmetic of weights. Does not own: whose they are and where they are recorded (store), nor how a request names
 * them (openai). Invariant: a weight is at least what the upstream bills for the same history, on the assumptions of
 * docs/LIMITS.md; what nothing recorded bounds says `window`. Pure.
 */
import type { ImageInput } from './images.ts';

/**
 * What of an item its bytes do not show: nothing; the model's reasoning; a summary that it wrote; what a tool of the
 * upstream read. All items of one kind and response share one count, because only their sum was reported.
 */
export type Hidden = 'nothing' | 'reasoning' | 'output' | 'input';

/** An item of a response, as later calls may name it. */
export interface KeptItem {
  /** The id and the seal (`sealOf` in openai/kept.ts) under which it may come again. */
  readonly names: readonly string[];
  /** UTF-8 bytes of its JSON, without what is encrypted and without images. */
  readonly bytes: number;
  readonly hidden: Hidden;
  readonly images: readonly ImageInput[];
}

/** What part of earlier reasoning a call is given again (`reasoning.context`); null: it is not said. */
export type ReasoningContext = 'all_turns' | 'current_turn' | null;

/** A stretch of history that a later call may continue. */
export interface History {
  /** Names of the model that counted `tokens`: as requested, and as the response said. */
  readonly models: readonly string[];
  /** The most that all of it is as input of that model; null: the model's window. */
  readonly tokens: number | null;
  /** Tokens of all reasoning in it, and those that the count may lack because the upstream left them out. */
  readonly reasoning: number;
  readonly leftOut: number;
  readonly isReasoningKnown: boolean;
  readonly reasoningContext: ReasoningContext;
  /** The same for any model: UTF-8 bytes of all text, all images, and whether there is something that neither shows. */
  readonly bytes: number;
  readonly images: readonly ImageInput[];
  readonly hasHidden: boolean;
  /** It holds documents that are read from their address each time: only the window bounds it, for every model. */
  readonly isOpen: boolean;
}

export interface KeptResponse {
  /** All of its input and output. */
  readonly history: History;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly items: readonly KeptItem[];
}

/** What history adds to the input of a call. */
export interface Weight {
  tokens: number;
  images: ImageInput[];
  /** Only the model's window bounds it. */
  window: boolean;
  bytes: number;
  /** All images; those of `images` are counted beside `tokens`. */
  allImages: ImageInput[];
  hasHidden: boolean;
  isOpen: boolean;
  /** Tokens of reasoning in it, which the upstream may leave out of this call and give to a later one. */
  reasoning: number;
  /** There is no further reasoning, of which nothing is known. */
  isReasoningKnown: boolean;
}

export function noWeight(): Weight {
  return {
    tokens: 0,
    images: [],
    window: false,
    bytes: 0,
    allImages: [],
    hasHidden: false,
    isOpen: false,
    reasoning: 0,
    isReasoningKnown: true,
  };
}

/**
 * The history of an object that did not pass through, on the word of an administrator.
 * @param tokens the most that it is as input of any model; null: not known
 */
export function historyOf(tokens: number | null): History {
  return {
    models: [],
    tokens,
    reasoning: 0,
    leftOut: 0,
    isReasoningKnown: tokens !== null,
    reasoningContext: null,
    bytes: tokens ?? 0,
    images: [],
    hasHidden: tokens === null,
    isOpen: false,
  };
}

/** The API takes at most this many images in a request (OpenAI's guide to images and vision). */
const IMAGES_MAX = 500;
/** Tokens around an item that its bytes may not show; the largest frame that was simulated has 11. */
const ITEM_FRAME_TOKENS = 16;
/** Tokens of a call that no byte shows: a date, a reminder. Added to what was counted before, once. */
const CALL_FRAME_TOKENS = 64;

/** Adds a whole history to a weight: a previous response, or a conversation. */
export function addHistory(weight: Weight, history: History, model: string, wanted: ReasoningContext): void {
  const { tokens, leftOut, reasoningContext, images } = history;
  weight.bytes += history.bytes;
  weight.allImages.push(...images);
  weight.hasHidden ||= history.hasHidden;
  weight.isOpen ||= history.isOpen;
  weight.reasoning += history.reasoning;
  // Another model may count reasoning in other tokens, also in a later call if it is left out of this one.
  const isOwn = history.models.includes(model) || history.reasoning === 0;
  weight.isReasoningKnown &&= history.isReasoningKnown && isOwn;
  if (history.isOpen) weight.window = true;
  else if (tokens !== null && history.models.includes(model)) {
    const isAllCounted = reasoningContext === 'current_turn' && wanted === 'current_turn';
    weight.tokens += tokens + CALL_FRAME_TOKENS + (isAllCounted ? 0 : leftOut);
    // A picture behind an address may have grown since it was counted.
    weight.images.push(...images.filter(({ size }) => size === null));
  } else if (history.hasHidden) weight.window = true;
  else {
    weight.tokens += history.bytes;
    weight.images.push(...images);
  }
}

/** One place of a request that names an item of a response. */
export interface ItemUse {
  readonly response: KeptResponse;
  readonly item: KeptItem;
  /** The item's visible bytes stand in the request too, and are counted there. */
  readonly isSent: boolean;
}

/**
 * Adds items to a weight. What one response hides counts once for all its items, as often as the item that comes most
 * often.
 */
export function addItems(weight: Weight, uses: readonly ItemUse[], model: string): void {
  const times = new Map<KeptItem, number>();
  const most = new Map<KeptResponse, Partial<Record<Hidden, number>>>();
  for (const { response, item, isSent } of uses) {
    weight.tokens += ITEM_FRAME_TOKENS;
    weight.images.push(...item.images);
    weight.allImages.push(...item.images);
    if (!isSent) {
      weight.tokens += item.bytes;
      weight.bytes += item.bytes + ITEM_FRAME_TOKENS;
    }
    if (item.hidden === 'nothing') continue;
    weight.hasHidden = true;
    if (!response.history.models.includes(model)) {
      weight.window = true;
      weight.isReasoningKnown = false;
    }
    const count = (times.get(item) ?? 0) + 1;
    times.set(item, count);
    const counts = most.get(response) ?? {};
    counts[item.hidden] = Math.max(counts[item.hidden] ?? 0, count);
    most.set(response, counts);
  }
  for (const [response, { reasoning = 0, output = 0, input = 0 }] of most) {
    weight.tokens +=
      reasoning * response.reasoningTokens + output * response.outputTokens + input * response.inputTokens;
    weight.reasoning += reasoning * response.reasoningTokens;
  }
}

/** What of a call's input its response keeps, and what the call itself says of it. */
export interface KeptInput {
  /** The response is kept (`store`), so that its id may come again. */
  readonly isStored: boolean;
  /** UTF-8 bytes of the request's own text. */
  bytes: number;
  images: readonly ImageInput[];
  /** Something in it costs more than its bytes and images, and is not in `recalled`. */
  hasHidden: boolean;
  isOpen: boolean;
  /** The upstream may leave out parts of the input: what it counts is not all of it. */
  readonly isCut: boolean;
  readonly reasoningContext: ReasoningContext;
  /** What the history it continues adds; null: it continues none. */
  recalled: Weight | null;
  /** Its place in a conversation; null: it is in none. */
  conversation: { readonly id: string; readonly call: string; readonly order: number } | null;
}

/** What a response says of itself that later calls may come back to. */
export interface KeptAnswer {
  /** Null: it has no plain one. */
  readonly id: string | null;
  /** The upstream keeps it; otherwise only the connection that it came on may name it. */
  readonly isStored: boolean;
  readonly items: readonly KeptItem[];
  readonly reasoningContext: ReasoningContext;
}

/** What the upstream counted; null: it did not say, and the hold counts. */
export interface Counted {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
}

/** Returns the record of a response. @param held the most that the call could take, for what was not reported */
export function keptResponse(
  input: KeptInput,
  answer: KeptAnswer,
  models: readonly string[],
  counted: Counted | null,
  held: Counted,
): KeptResponse {
  const { recalled } = input;
  const { inputTokens, outputTokens, reasoningTokens } = counted ?? held;
  const whole = input.isCut || counted === null ? held.inputTokens : inputTokens;
  const { items, reasoningContext } = answer;
  const images = [...input.images, ...(recalled?.allImages ?? []), ...items.flatMap((item) => item.images)];
  const isAllGiven = reasoningContext === 'all_turns';
  const isReasoningKnown = recalled?.isReasoningKnown ?? true;
  // The answer comes back as text that may be encoded in another way: never less than its bytes.
  let bytes = 0;
  let summary = 0;
  for (const item of items) {
    bytes += item.bytes + ITEM_FRAME_TOKENS;
    if (item.hidden === 'output') summary = outputTokens;
  }
  // Without its items nothing says what the answer was.
  const answered = items.length === 0 ? outputTokens : bytes + reasoningTokens + summary;
  const history: History = {
    models,
    tokens: whole + answered,
    reasoning: (recalled?.reasoning ?? 0) + reasoningTokens,
    leftOut: isAllGiven ? 0 : (recalled?.reasoning ?? 0),
    isReasoningKnown,
    reasoningContext,
    bytes: input.bytes + (recalled?.bytes ?? 0) + bytes,
    images: images.slice(0, IMAGES_MAX),
    hasHidden:
      input.hasHidden ||
      (recalled?.hasHidden ?? false) ||
      counted === null ||
      reasoningTokens > 0 ||
      items.some(({ hidden }) => hidden !== 'nothing'),
    isOpen:
      input.isOpen ||
      (recalled?.isOpen ?? false) ||
      images.length > IMAGES_MAX ||
      !(isReasoningKnown || isAllGiven),
  };
  return { history, inputTokens: whole, outputTokens, reasoningTokens, items };
}

/** What a conversation holds by the calls that have ended in it. Counts only grow. */
export interface Conversation {
  readonly history: History;
  /** How many calls began in it. */
  readonly begun: number;
  /** Tokens that calls added to it, one after the other. */
  readonly addedTokens: number;
  /** A call that began before this much was added lacks what its own count does not bound: of another model, or images. */
  readonly mixedUntil: number;
}

/** A call in a conversation whose end is not known: it may have added all that it held. */
export interface ConversationCall {
  readonly model: string;
  /** How much had been added when it began. */
  readonly addedBefore: number;
  /** UTF-8 bytes of its own text. */
  readonly bytes: number;
  readonly images: readonly ImageInput[];
  readonly hasHidden: boolean;
  readonly isOpen: boolean;
  /** Output tokens that it may write; null: not bounded. */
  readonly outputTokens: number | null;
}

export function newConversation(history: History): Conversation {
  return { history, begun: 0, addedTokens: 0, mixedUntil: 0 };
}

/** Adds a call that may be under way to the weight of its conversation. */
export function addCall(weight: Weight, call: ConversationCall, model: string): void {
  const { bytes, images, outputTokens } = call;
  weight.bytes += bytes;
  weight.allImages.push(...images);
  weight.images.push(...images);
  weight.hasHidden = true;
  weight.isOpen ||= call.isOpen;
  weight.reasoning += outputTokens ?? 0;
  weight.isReasoningKnown &&= outputTokens !== null && call.model === model;
  weight.tokens += bytes + ITEM_FRAME_TOKENS + (outputTokens ?? 0);
  if (call.isOpen || call.hasHidden || outputTokens === null || call.model !== model) weight.window = true;
}

/**
 * Returns the conversation after a call has ended in it. What the upstream counted for the call holds all that was there
 * before it began; what others added meanwhile comes on top.
 * @param kept the call's own record
 */
export function afterCall(
  { history, begun, addedTokens, mixedUntil }: Conversation,
  call: ConversationCall,
  kept: KeptResponse,
): Conversation {
  const own = kept.history;
  const answered = (own.tokens ?? 0) - kept.inputTokens;
  const added = addedTokens + call.bytes + ITEM_FRAME_TOKENS + answered;
  const meanwhile = addedTokens - call.addedBefore;
  const isSameModel = history.models.some((name) => own.models.includes(name));
  const isMixed = (history.models.length > 0 && !isSameModel) || call.images.length > 0 || call.hasHidden;
  const isCounted = meanwhile === 0 || (isSameModel && call.addedBefore >= mixedUntil);
  const answerBytes = kept.items.reduce((sum, item) => sum + item.bytes + ITEM_FRAME_TOKENS, 0);
  const images = [...history.images, ...call.images, ...kept.items.flatMap((item) => item.images)];
  const isOpen = history.isOpen || call.isOpen || own.isOpen;
  return {
    begun,
    addedTokens: added,
    mixedUntil: isMixed ? added : mixedUntil,
    history: {
      models: own.models,
      tokens: isCounted && own.tokens !== null ? own.tokens + meanwhile : null,
      reasoning: history.reasoning + kept.reasoningTokens,
      leftOut: own.leftOut,
      isReasoningKnown:
        own.isReasoningKnown && history.isReasoningKnown && (isSameModel || history.reasoning === 0),
      reasoningContext: own.reasoningContext,
      bytes: history.bytes + call.bytes + answerBytes,
      images: images.slice(0, IMAGES_MAX),
      hasHidden: history.hasHidden || own.hasHidden,
      isOpen: isOpen || images.length > IMAGES_MAX,
    },
  };
}

/**
 * Returns the conversation after items were put into it, which no call has read.
 * @param tokens the most that they are as input; null: nothing bounds them
 */
export function afterItems(conversation: Conversation, tokens: number | null): Conversation {
  const { history, begun, addedTokens, mixedUntil } = conversation;
  // One more, so that a call under way is seen to lack them.
  const added = addedTokens + (tokens ?? 1);
  return {
    begun: begun + 1,
    addedTokens: added,
    mixedUntil: tokens === null ? added : mixedUntil,
    history: {
      ...history,
      tokens: tokens === null || history.tokens === null ? null : history.tokens + tokens,
      bytes: history.bytes + (tokens ?? 0),
      hasHidden: history.hasHidden || tokens === null,
    },
  };
}

/** Returns the conversation after a call that is over by now, and of which nothing more will be known. */
export function afterLostCall(conversation: Conversation, call: ConversationCall): Conversation {
  const { history, begun, addedTokens } = conversation;
  const { bytes, images, outputTokens, model } = call;
  const tokens = bytes + ITEM_FRAME_TOKENS + (outputTokens ?? 0);
  const isKnown = history.models.includes(model) && outputTokens !== null && !call.hasHidden;
  const added = addedTokens + tokens;
  return {
    begun,
    addedTokens: added,
    mixedUntil: added,
    history: {
      ...history,
      tokens: isKnown && history.tokens !== null ? history.tokens + tokens : null,
      reasoning: history.reasoning + (outputTokens ?? 0),
      isReasoningKnown: history.isReasoningKnown && outputTokens !== null,
      bytes: history.bytes + bytes,
      images: [...history.images, ...images],
      hasHidden: true,
      isOpen: history.isOpen || call.isOpen,
    },
  };
}
