/** The operations that call a model: how each is read and written. */
import type { ModelCall, OperationName } from './call.ts';
import { type KeptContext, readChatCall, readResponseCall } from './call-chat.ts';
import { readCompletionCall, readEmbeddingCall, readModerationCall } from './call-text.ts';
import { type ApiError, INVALID_JSON } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { isObject, type JsonObject } from './fields.ts';
import type { Output } from './output.ts';
import type { Profile } from './profile.ts';
import { seededRandom } from './random.ts';
import { chatEvents, chatJson, completionEvents, completionJson } from './render-chat.ts';
import { compactionJson, responseEvents, responseFailure, responseJson } from './render-responses.ts';
import { embeddingJson, moderationJson } from './render-text.ts';

export interface Operation {
  name: OperationName;
  read: (body: JsonObject, profile: Profile, kept: KeptContext) => ModelCall | ApiError;
  json: (output: Output) => string;
  /** Null: never streams. */
  events: ((output: Output) => string[]) | null;
  /** What a 200 that failed says: its JSON, or the event after so many others. Missing: an error in the usual form. */
  failure?: (output: Output, eventsBefore: number | null) => string;
}

export const RESPONSES: Operation = {
  name: 'responses',
  read: readResponseCall,
  json: responseJson,
  events: responseEvents,
  failure: responseFailure,
};

export const OPERATIONS: Record<string, Operation> = {
  '/v1/chat/completions': {
    name: 'chat.completions',
    read: readChatCall,
    json: chatJson,
    events: chatEvents,
  },
  '/v1/responses': RESPONSES,
  '/v1/responses/compact': {
    name: 'responses.compact',
    read: readResponseCall,
    json: compactionJson,
    events: null,
  },
  '/v1/embeddings': { name: 'embeddings', read: readEmbeddingCall, json: embeddingJson, events: null },
  '/v1/completions': {
    name: 'completions',
    read: readCompletionCall,
    json: completionJson,
    events: completionEvents,
  },
  '/v1/moderations': { name: 'moderations', read: readModerationCall, json: moderationJson, events: null },
};

/** Reads one call of a model from its body. */
export function readCall(
  { state, directives, key }: Pick<Exchange, 'state' | 'directives' | 'key'>,
  operation: Operation,
  bytes: Buffer,
): ModelCall | ApiError {
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString());
  } catch {
    return INVALID_JSON;
  }
  const mode = directives.mode ?? state.mode;
  const context = mode === 'worst' ? 'all_turns' : state.profile.reasoningContext;
  // Generators of their own, like that of the faults.
  const random = seededRandom(state.seed, `reasoning ${key}`);
  const { habit, toolCallChance: chance } = state.profile;
  const kept: KeptContext = {
    state: state.kept,
    reading: { context, habit, mayDrop: false, random },
    choosing: {
      ordered: directives.toolCalls ?? null,
      chance,
      random: seededRandom(state.seed, `tools ${key}`),
    },
    hosting: { containers: state.containers, random: seededRandom(state.seed, `containers ${key}`) },
  };
  return isObject(body) ? operation.read(body, state.profile, kept) : INVALID_JSON;
}
