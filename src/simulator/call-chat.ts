/** Readers of the two operations that converse: `POST /v1/chat/completions` and `POST /v1/responses`. */
import {
  type Asked,
  checkSampling,
  checkTools,
  type ModelCall,
  outputMost,
  readCache12h,
  readModel,
  readStream,
  readTier,
} from './call.ts';
import { type ApiError, invalidRequest, isApiError, notSimulated } from './errors.ts';
import { FieldReader, invalidValue, isObject, type JsonObject, missing, wrongType } from './fields.ts';
import { type Containers, HOSTED_TYPES, readHosted, SEARCH_FEE } from './hosted.ts';
import { emptyInput, measure } from './input.ts';
import type { KeptState } from './kept.ts';
import type { Model } from './prices.ts';
import type { LimitNames, Profile } from './profile.ts';
import type { Random } from './random.ts';
import { type KeptItem, type Reading, readItems } from './reading.ts';
import { validValue } from './schema.ts';
import { type Choosing, chooseCalls, offeredTools, turnOf } from './tools.ts';

/** A chat that may search does so once, which no item shows. */
const CHAT_SEARCH = {
  tools: [{ item: 'web_search_call' as const, feePicoUsd: SEARCH_FEE, container: null }],
  least: 1,
  most: 1,
  approved: 0,
};

const ROLES = ['system', 'developer', 'assistant', 'user', 'function', 'tool'];

export function readChatCall(body: JsonObject, profile: Profile, kept: KeptContext): ModelCall | ApiError {
  const reader = new FieldReader(body);
  const found = readModel(reader, ['chat']);
  if (isApiError(found)) return found;
  const { model, servedName } = found;
  const messages = reader.objects('messages');
  if (messages === null) return reader.error ?? missing('messages');
  checkMessages(reader, messages);
  checkTools(reader);
  checkSampling(reader);
  const isAskedToSearch = reader.has('web_search_options') && model.feePerCallPicoUsd === 0n;
  const speaks = Array.isArray(body.modalities) && body.modalities.includes('audio');
  if (speaks && !model.name.includes('audio')) reader.fail(notSimulated('modalities'));
  const outputTokensMost = outputMost(model, readChatLimit(reader, model, profile.limitNames));
  const choices = reader.integer('n', 1, 128) ?? 1;
  const tier = readTier(reader, model);
  const keepsCache12h = readCache12h(reader, model, tier);
  const prediction = emptyInput('byte');
  measure(prediction, reader.object('prediction')?.content);

  const input = emptyInput(profile.tokeniser);
  readItems(
    input,
    messages.map((item) => ({ item, reasoningTokens: 0 })),
    kept.reading,
  );
  for (const name of ['tools', 'functions', 'response_format']) measure(input, body[name], true);
  if (input.unbillable) reader.fail(notSimulated(input.unbillable));
  const { stream, includeUsage } = readStream(reader);
  return (
    reader.error ?? {
      operation: 'chat.completions',
      body,
      model,
      servedName,
      stream,
      includeUsage,
      input,
      prompts: 1,
      choices,
      candidates: choices,
      outputTokensMost,
      predictionBytes: prediction.textBytes,
      hosted: isAskedToSearch ? CHAT_SEARCH : null,
      speaks,
      tier,
      keepsCache12h,
      items: null,
      reasoningContext: null,
      asked: askedOf(body, messages, formatOf(body.response_format), kept.choosing),
    }
  );
}

/** What the model is asked to write: tools first, then the form of its answer. */
function askedOf(
  body: JsonObject,
  items: readonly JsonObject[],
  schema: unknown,
  choosing: Choosing,
): Asked | null {
  const calls = chooseCalls(body, offeredTools(body, items), turnOf(items), choosing);
  if (calls.length > 0) return { calls };
  return schema === null ? null : { json: JSON.stringify(validValue(schema, choosing.random)) };
}

/** The schema of a format of the answer; null: a text. Chat has it in a member, responses beside the type. */
function formatOf(format: unknown): unknown {
  if (!isObject(format)) return null;
  if (format.type === 'json_object')
    return { type: 'object', properties: { answer: {} }, required: ['answer'] };
  if (format.type !== 'json_schema') return null;
  return (isObject(format.json_schema) ? format.json_schema.schema : format.schema) ?? {};
}

function checkMessages(reader: FieldReader, messages: JsonObject[]): void {
  if (messages.length === 0) {
    const message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
    reader.fail(invalidRequest(message, 'messages', 'empty_array'));
  }
  for (const [index, { role, content }] of messages.entries()) {
    const name = `messages[${index}]`;
    if (role === undefined) reader.fail(missing(`${name}.role`));
    else if (!ROLES.includes(String(role))) reader.fail(invalidValue(`${name}.role`, role, ROLES));
    const isContent = content === undefined || content === null || typeof content === 'string';
    if (!isContent && !Array.isArray(content)) {
      reader.fail(wrongType(`${name}.content`, 'one of a string or array of objects', content));
    } else if (role === 'user' && (content === undefined || content === null)) {
      reader.fail(missing(`${name}.content`));
    }
  }
}

function readChatLimit(reader: FieldReader, model: Model, names: LimitNames): number | null {
  const limit = reader.integer('max_completion_tokens', 1);
  const oldLimit = reader.integer('max_tokens', 1);
  if (names === 'max_tokens') return oldLimit;
  if (names === 'either') return limit ?? oldLimit;
  if (oldLimit !== null && model.reasoning) {
    const message =
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    reader.fail(invalidRequest(message, 'max_tokens', 'unsupported_parameter'));
  }
  if (oldLimit !== null && limit !== null) {
    const message =
      "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported. Set 'max_completion_tokens' instead.";
    reader.fail(invalidRequest(message, 'max_tokens', 'invalid_parameter_combination'));
  }
  const asked = limit ?? oldLimit;
  if (asked !== null && model.maxOutputTokens !== null && asked > model.maxOutputTokens) {
    const name = limit === null ? 'max_tokens' : 'max_completion_tokens';
    const message = `${name} is too large: ${asked}. This model supports at most ${model.maxOutputTokens} completion tokens, whereas you provided ${asked}.`;
    reader.fail(invalidRequest(message, name, 'invalid_value'));
  }
  return asked;
}

export function readResponseCall(
  body: JsonObject,
  profile: Profile,
  kept: KeptContext,
): ModelCall | ApiError {
  const reader = new FieldReader(body);
  const found = readModel(reader, ['chat', 'responses']);
  if (isApiError(found)) return found;
  const { model, servedName } = found;
  checkTools(reader, HOSTED_TYPES);
  checkSampling(reader);

  const input = emptyInput(profile.tokeniser);
  if (reader.string('instructions') !== null) input.messages++;
  const { history, own: items } = readInput(reader, kept.state);
  const all = [...history, ...items];
  const hosted = readHosted(reader, model, {
    ...kept.hosting,
    items: items.map(({ item }) => item),
    all: all.map(({ item }) => item),
  });
  // What its servers offer is read like a document.
  if (hosted !== null && (hosted.approved > 0 || hosted.tools.some((tool) => tool.item === 'mcp_call')))
    input.documents++;
  readItems(input, all, { ...kept.reading, mayDrop: body.truncation === 'auto' });
  measure(input, body.instructions);
  for (const name of ['tools', 'text']) measure(input, body[name], true);
  if (reader.object('prompt') !== null) input.documents++;
  if (input.unbillable) reader.fail(notSimulated(input.unbillable));

  const tier = readTier(reader, model);
  const keepsCache12h = readCache12h(reader, model, tier);
  const outputTokensMost = outputMost(model, reader.integer('max_output_tokens', 16));
  const { stream } = readStream(reader);
  return (
    reader.error ?? {
      operation: 'responses',
      body,
      model,
      servedName,
      stream,
      includeUsage: true,
      input,
      prompts: 1,
      choices: 1,
      candidates: 1,
      outputTokensMost,
      predictionBytes: 0,
      hosted,
      speaks: false,
      tier,
      keepsCache12h,
      items,
      reasoningContext: model.reasoning ? saidContext(kept.reading.context) : null,
      asked: askedOf(
        body,
        all.map(({ item }) => item),
        formatOf(reader.object('text')?.format),
        kept.choosing,
      ),
    }
  );
}

/** What a call depends on beside its request: what earlier responses left, how it is read, and what is called. */
export interface KeptContext {
  state: KeptState;
  reading: Reading;
  choosing: Choosing;
  hosting: { containers: Containers; random: Random };
}

function saidContext(context: Reading['context']): 'all_turns' | 'current_turn' | null {
  return context === 'random' ? null : context === 'all_turns' ? context : 'current_turn';
}

/** The items that stand before the request's own input, and those. */
function readInput(reader: FieldReader, state: KeptState): { history: KeptItem[]; own: KeptItem[] } {
  const { input } = reader.body;
  const history = state.historyOf(reader.body);
  if (isApiError(history)) {
    reader.fail(history);
    return { history: [], own: [] };
  }
  const own: KeptItem[] = [];
  if (input === undefined || input === null) {
    if (history.length === 0) reader.fail(missing('input'));
  } else if (typeof input === 'string')
    own.push({ item: { role: 'user', content: input }, reasoningTokens: 0 });
  else {
    for (const item of reader.objects('input') ?? []) {
      const found = state.itemOf(item);
      if (isApiError(found)) reader.fail(found);
      else own.push(found);
    }
  }
  return { history, own };
}
