/** One response of a realtime session: what it reads, writes and costs, and its events. */
import { type ApiError, isApiError } from './errors.ts';
import { errorOfFault } from './faults.ts';
import { isObject, type JsonObject } from './fields.ts';
import { lognormal, randomHex } from './random.ts';
import { billRealtime, type Modalities, type RealtimeModel, type RealtimeUsage } from './realtime-bill.ts';
import { type Counting, fitItems, type Item, prefaceWeight, weightOf } from './realtime-conversation.ts';
import type { Session, Work } from './socket.ts';
import { tokensOf } from './tokens.ts';
import { chooseCalls, offeredTools, type ToolCall, turnOf } from './tools.ts';
import { words } from './words.ts';

/** What a response is asked for: the session's configuration, with what its own event changes. */
export interface Wanted {
  body: JsonObject;
  /** What it reads. */
  items: readonly Item[];
  /** What it writes stands in the conversation. */
  inConversation: boolean;
}

export interface ResponsePlan {
  usage: RealtimeUsage;
  /** It ended at its limit. */
  cut: boolean;
  isAudio: boolean;
  /** Of text, a transcript or arguments, in the pieces of their deltas. */
  pieces: string[];
  call: ToolCall | null;
  read: readonly Item[];
  costOf(usage: RealtimeUsage): bigint;
}

export function planResponse(
  session: Session,
  work: Work,
  model: RealtimeModel,
  wanted: Wanted,
): ResponsePlan | ApiError {
  const faultError = work.fault && errorOfFault(work.fault.name);
  if (faultError) return faultError;
  const { profile } = session.state;
  const { body } = wanted;
  const worst = session.modeOf(work) === 'worst';
  const counting: Counting = { worst, tokeniser: profile.tokeniser, model: model.name };
  const limit =
    body.max_output_tokens === 'inf' || body.max_output_tokens == null
      ? model.maxOutputTokens
      : Number(body.max_output_tokens);
  const outputMost = Math.min(limit, model.maxOutputTokens);
  const preface = prefaceWeight(body.instructions, body.tools, counting);
  const read = fitItems(wanted.items, roomOf(body.truncation, model, preface), counting);
  if (isApiError(read)) return read;
  const { input, cached } = weigh(read, preface, counting, work, session);
  const call = callOf(session, work, body, read);
  const isAudio =
    call === null && Array.isArray(body.output_modalities) && body.output_modalities[0] === 'audio';
  const drawn =
    work.directives.outputTokens ??
    lognormal(work.random, profile.medianOutputTokens, profile.p99OutputTokens);
  const needed =
    call === null ? drawn : Math.ceil(tokensOf(`${call.tool.name}(${call.text})`, profile.tokeniser)) + 3;
  const asked = worst ? (work.directives.outputTokens ?? outputMost) : needed;
  const total = (work.directives.ignoreLimit ?? profile.ignoresLimits) ? asked : Math.min(asked, outputMost);
  const audio = isAudio ? (worst ? total : Math.floor(total * 0.75)) : 0;
  const usage: RealtimeUsage = { input, cached, output: { text: total - audio, audio } };
  const count = Math.max(1, Math.min(total, work.directives.chunks ?? profile.maxChunks));
  const pieces = call === null ? words(work.random, count, profile.plainText) : [call.text];
  return {
    usage,
    cut: asked >= outputMost && call === null,
    isAudio,
    pieces,
    call,
    read,
    costOf: (used) => billRealtime(model, used),
  };
}

function roomOf(truncation: unknown, model: RealtimeModel, preface: number) {
  const tokens = model.window - model.maxOutputTokens - preface;
  if (truncation === 'disabled') return { tokens, retained: null };
  if (!isObject(truncation)) return { tokens, retained: 1 };
  const limits = isObject(truncation.token_limits) ? truncation.token_limits : {};
  const own = typeof limits.post_instructions === 'number' ? limits.post_instructions : tokens;
  return { tokens: Math.min(tokens, own), retained: Number(truncation.retention_ratio ?? 1) };
}

/** Of what was read before, a share comes from the cache; in the worst case nothing does. */
function weigh(read: readonly Item[], preface: number, counting: Counting, work: Work, session: Session) {
  const input: Modalities = { text: preface, audio: 0, image: 0 };
  const cached: Modalities = { text: 0, audio: 0, image: 0 };
  const isCached = work.random() < session.state.profile.cacheChance && !counting.worst;
  const share = work.random();
  for (const item of read) {
    const weight = weightOf(item, counting);
    for (const kind of ['text', 'audio', 'image'] as const) {
      input[kind] += weight[kind];
      if (item.wasRead && isCached) cached[kind] += Math.floor(weight[kind] * share);
    }
  }
  return { input, cached };
}

function callOf(session: Session, work: Work, body: JsonObject, read: readonly Item[]): ToolCall | null {
  const items = read.map(({ json }) => json);
  const choosing = {
    ordered: work.directives.toolCalls ?? null,
    chance: session.state.profile.toolCallChance,
    random: work.random,
  };
  return chooseCalls(body, offeredTools(body, items), turnOf(items), choosing)[0] ?? null;
}

/** What was written of a plan when so many of its pieces were. */
export function usageAfter({ usage, pieces }: ResponsePlan, written: number): RealtimeUsage {
  if (written >= pieces.length) return usage;
  const part = (tokens: number): number => Math.floor((tokens * written) / pieces.length);
  return { ...usage, output: { text: part(usage.output.text), audio: part(usage.output.audio) } };
}

/** The item that so many pieces make, and what it weighs when it is read again. */
export function writtenItem(
  plan: ResponsePlan,
  id: string,
  callId: string,
  written: number,
  worst: boolean,
): Item {
  const text = plan.pieces.slice(0, written).join('');
  const isWhole = written >= plan.pieces.length;
  const status = isWhole && !plan.cut ? 'completed' : 'incomplete';
  const { output } = usageAfter(plan, written);
  const base = { id, object: 'realtime.item', status };
  const part = plan.isAudio ? { type: 'output_audio', transcript: text } : { type: 'output_text', text };
  const json =
    plan.call === null
      ? { ...base, type: 'message', role: 'assistant', content: written === 0 ? [] : [part] }
      : { ...base, type: 'function_call', name: plan.call.tool.name, call_id: callId, arguments: text };
  // At worst a transcript is read beside the sound, a token for each byte.
  const textTokens = Math.max(output.text, worst ? Buffer.byteLength(text) : 0);
  return { json, audioMs: output.audio * 50, textTokens, wasRead: false };
}

/** Each delta of audio carries so many bytes, as if it were longer. */
const AUDIO_BYTES = 480;

/** An event, and how many pieces are written once it is sent. */
export interface PacedEvent {
  event: JsonObject;
  written: number;
}

/** The events between `response.created` and `response.done`. */
export function responseEvents(
  plan: ResponsePlan,
  responseId: string,
  itemId: string,
  callId: string,
  previous: string | null,
  inConversation: boolean,
  work: Work,
): PacedEvent[] {
  const events: PacedEvent[] = [];
  const place = { response_id: responseId, item_id: itemId, output_index: 0 };
  const all = plan.pieces.length;
  const add = (written: number, type: string, fields: object): void => {
    events.push({ event: { type, ...fields }, written });
  };
  const empty = { ...writtenItem(plan, itemId, callId, 0, false).json, status: 'in_progress' };
  const item = writtenItem(plan, itemId, callId, all, false).json;
  add(0, 'response.output_item.added', { response_id: responseId, output_index: 0, item: empty });
  if (inConversation) add(0, 'conversation.item.added', { previous_item_id: previous, item: empty });
  if (plan.call !== null) {
    const whole = { ...place, call_id: callId };
    for (const delta of plan.pieces) add(all, 'response.function_call_arguments.delta', { ...whole, delta });
    add(all, 'response.function_call_arguments.done', {
      ...whole,
      name: plan.call.tool.name,
      arguments: plan.call.text,
    });
  } else addContent(plan, place, work, add);
  if (inConversation) add(all, 'conversation.item.done', { previous_item_id: previous, item });
  add(all, 'response.output_item.done', { response_id: responseId, output_index: 0, item });
  return events;
}

function addContent(
  plan: ResponsePlan,
  at: object,
  work: Work,
  add: (written: number, type: string, fields: object) => void,
): void {
  const place = { ...at, content_index: 0 };
  const all = plan.pieces.length;
  const text = plan.pieces.join('');
  const part = (said: string) =>
    plan.isAudio ? { type: 'audio', transcript: said } : { type: 'text', text: said };
  const name = plan.isAudio ? 'response.output_audio_transcript' : 'response.output_text';
  add(0, 'response.content_part.added', { ...place, part: part('') });
  for (const [index, delta] of plan.pieces.entries()) {
    add(index + 1, `${name}.delta`, { ...place, delta });
    if (plan.isAudio) {
      const audio = Buffer.from(randomHex(work.random, AUDIO_BYTES * 2), 'hex').toString('base64');
      add(index + 1, 'response.output_audio.delta', { ...place, delta: audio });
    }
  }
  if (plan.isAudio) add(all, 'response.output_audio.done', place);
  add(all, `${name}.done`, plan.isAudio ? { ...place, transcript: text } : { ...place, text });
  add(all, 'response.content_part.done', { ...place, part: part(text) });
}
