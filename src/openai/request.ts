import { isUtf8 } from 'node:buffer';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { Operation, OperationName } from '../domain/operation.ts';
import { readChat } from './chat.ts';
import { type Bounds, Fields } from './fields.ts';
import { isObject, type JsonObject, parseJson } from './json.ts';
import type { Route } from './operations.ts';
import { readCompletions, readEmbeddings } from './prompts.ts';
import { readResponses } from './responses.ts';
import { MAX_DEPTH, scanNames } from './scan.ts';

/** A request as it was understood, beside the bytes it was read from. */
export interface ParsedRequest {
  operation: Operation;
  /** The body's object; null for operations without a body. */
  json: JsonObject | null;
  /** The client's bytes; empty for operations without a body. Send what `renderBody` makes of them, not these. */
  body: Buffer;
  /** True: some object may hold a name twice, so another parser could read other values from these bytes. */
  ambiguous: boolean;
}

const EMPTY = Buffer.alloc(0);

/**
 * Tokens that the upstream adds to the text itself. Text costs at most one token per UTF-8 byte, and JSON writes it in
 * at least as many bytes; a token given as a number takes at least two. The framing of a message (about four tokens and
 * its role) is below the bytes of `{"role":"","content":""},`, and a tool's or schema's below those of its own JSON.
 * What stands once per request (the opening of the answer, the headings of tools and response format) is this.
 */
const FRAMING_TOKENS = 64;

const NO_BOUNDS: Bounds = { outputTokensLimit: 0, outputLimitField: null, choices: 1, extraOutputTokens: 0 };

const READERS: Partial<Record<OperationName, (fields: Fields) => Bounds>> = {
  'chat.completions': readChat,
  responses: readResponses,
  completions: readCompletions,
  embeddings: readEmbeddings,
};

/**
 * Reads what a call is and everything in it that can move its cost. Fields that cannot are the upstream's business.
 * Faults: `invalid_json`; `invalid_request` for a field of a wrong type or range; `unbounded_request` for what no field
 * bounds; `unknown_price` for a service tier without a published price. All but the first name the field in `param`.
 */
export function readOperation(route: Route, body: Buffer): ParsedRequest | ApiError {
  if (route.method === 'GET')
    return { operation: freeOperation(route), json: null, body: EMPTY, ambiguous: false };

  if (!isUtf8(body)) return apiError('invalid_json', 'The body is not valid UTF-8.');
  const text = body.toString();
  const json = parseJson(text);
  if (json === undefined) return apiError('invalid_json', 'The body is not valid JSON.');
  if (!isObject(json)) return apiError('invalid_json', 'The body must be a JSON object.');
  const names = scanNames(text);
  if (names === 'too_deep')
    return apiError('invalid_request', `The body is nested deeper than ${MAX_DEPTH} levels.`);

  const fields = new Fields(json);
  const reader = READERS[route.name];
  const operation = reader ? billableOperation(route, fields, reader) : freeOperation(route, fields);
  if (fields.error) return fields.error;
  operation.inputTokensBound = body.length + FRAMING_TOKENS;
  return { operation, json, body, ambiguous: names === 'ambiguous' };
}

function billableOperation(route: Route, fields: Fields, reader: (fields: Fields) => Bounds): Operation {
  const model = fields.name('model');
  if (model === null) fields.invalid('model', "'model' must be the name of a model.");
  const stream = fields.boolean('stream');
  const streamOptions = fields.object('stream_options');
  const includeUsage = streamOptions?.include_usage ?? false;
  if (typeof includeUsage !== 'boolean') {
    fields.invalid('stream_options.include_usage', "'stream_options.include_usage' must be a boolean.");
  }
  const serviceTier = readServiceTier(fields);
  const endUser = fields.name('safety_identifier') ?? fields.name('user');
  const bounds = reader(fields);
  return {
    name: route.name,
    method: route.method,
    path: route.path,
    model,
    stream,
    includeUsage: stream && includeUsage === true,
    billable: true,
    inputTokensBound: 0,
    inputBoundByModel: fields.inputBoundParam !== null,
    inputBoundParam: fields.inputBoundParam,
    ...bounds,
    serviceTier,
    endUser,
  };
}

/** Moderations and models: they cost nothing, so no field of theirs is checked beyond the model's name. */
function freeOperation(route: Route, fields?: Fields): Operation {
  return {
    name: route.name,
    method: route.method,
    path: route.path,
    model: route.model ?? fields?.name('model') ?? null,
    stream: false,
    includeUsage: false,
    billable: false,
    inputTokensBound: 0,
    inputBoundByModel: false,
    inputBoundParam: null,
    ...NO_BOUNDS,
    serviceTier: null,
    endUser: null,
  };
}

/** Tiers that have no published price per token are refused; `auto` means what the upstream's project settings say. */
function readServiceTier(fields: Fields): Operation['serviceTier'] {
  const tier = fields.json.service_tier;
  switch (tier) {
    case undefined:
    case null:
    case 'auto':
      return null;
    case 'default':
    case 'flex':
    case 'priority':
      return tier;
  }
  if (typeof tier !== 'string') fields.invalid('service_tier', "'service_tier' must be a string.");
  else {
    const message = `The service tier ${JSON.stringify(tier.slice(0, 64))} has no known price.`;
    fields.error ??= apiError('unknown_price', message, { param: 'service_tier' });
  }
  return null;
}
