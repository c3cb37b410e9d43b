/** The configuration of a realtime session: its defaults, and what `session.update` may change of it. */
import { type ApiError, invalidRequest, notSimulated } from './errors.ts';
import { isObject, type JsonObject } from './fields.ts';
import { type RealtimeModel, transcribes } from './realtime-bill.ts';

const DEFAULT_INSTRUCTIONS =
  'Your knowledge cutoff is 2024-10. You are a helpful, witty, and friendly AI. Act like a human, but remember that you are not one. Your voice and personality should be warm and engaging, with a lively and playful tone. Talk quickly. Call a function if you can.';

const FORMAT = { type: 'audio/pcm', rate: 24000 };
const FORMATS = ['audio/pcm', 'audio/pcmu', 'audio/pcma'];
const TURNS = {
  type: 'server_vad',
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
  idle_timeout_ms: null,
  create_response: true,
  interrupt_response: true,
};
const SEMANTIC_TURNS = {
  type: 'semantic_vad',
  eagerness: 'auto',
  create_response: true,
  interrupt_response: true,
};

/** `model` null: a session that transcribes alone. */
export function newConfig(id: string, model: RealtimeModel | null): JsonObject {
  const input = { format: FORMAT, transcription: null, noise_reduction: null, turn_detection: TURNS };
  const common = { id, expires_at: Math.floor(Date.now() / 1000) + 3600, include: null };
  if (model === null)
    return { ...common, type: 'transcription', object: 'realtime.transcription_session', audio: { input } };
  return {
    ...common,
    type: 'realtime',
    object: 'realtime.session',
    model: model.name,
    output_modalities: ['audio'],
    instructions: DEFAULT_INSTRUCTIONS,
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    tracing: null,
    truncation: 'auto',
    prompt: null,
    audio: { input, output: { format: FORMAT, voice: 'marin', speed: 1 } },
  };
}

const FIELDS = [
  'type',
  'model',
  'output_modalities',
  'instructions',
  'tools',
  'tool_choice',
  'max_output_tokens',
  'tracing',
  'truncation',
  'prompt',
  'include',
  'audio',
  'reasoning',
  'parallel_tool_calls',
];

/** Returns the configuration with what an update changes, or why it cannot be changed. */
export function updateConfig(
  config: JsonObject,
  update: unknown,
  model: RealtimeModel | null,
): JsonObject | ApiError {
  if (!isObject(update)) return missing('session');
  if (update.type !== config.type) return invalid('session.type', update.type);
  const unknown = Object.keys(update).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined)
    return invalidRequest(
      `Unknown parameter: 'session.${unknown}'.`,
      `session.${unknown}`,
      'unknown_parameter',
    );
  if (update.model !== undefined && update.model !== config.model)
    return invalidRequest("Cannot update a session's model.", 'session.model', 'cannot_update_model');
  if (update.prompt != null) return notSimulated('session.prompt');
  const error = checkResponse(update, model, 'session');
  if (error) return error;
  const audio = isObject(update.audio) ? update.audio : {};
  const old = isObject(config.audio) ? config.audio : {};
  const input = mergeInput(isObject(old.input) ? old.input : {}, audio.input);
  if ('status' in input) return input as unknown as ApiError;
  const output = {
    ...(isObject(old.output) ? old.output : {}),
    ...(isObject(audio.output) ? audio.output : {}),
  };
  return { ...config, ...update, audio: config.type === 'realtime' ? { input, output } : { input } };
}

function mergeInput(old: JsonObject, change: unknown): JsonObject | ApiError {
  if (!isObject(change)) return old;
  const { format, transcription, turn_detection: turns } = change;
  if (isObject(format) && !FORMATS.includes(String(format.type)))
    return invalid('session.audio.input.format.type', format.type);
  if (isObject(transcription) && !transcribes(String(transcription.model)))
    return invalid('session.audio.input.transcription.model', transcription.model);
  const merged = { ...old, ...change };
  if (isObject(turns)) {
    if (turns.type !== 'server_vad' && turns.type !== 'semantic_vad')
      return invalid('session.audio.input.turn_detection.type', turns.type);
    merged.turn_detection = { ...(turns.type === 'server_vad' ? TURNS : SEMANTIC_TURNS), ...turns };
  }
  return merged;
}

/** Checks what a session and a response have in common. */
export function checkResponse(body: JsonObject, model: RealtimeModel | null, path: string): ApiError | null {
  const { max_output_tokens: most, output_modalities: modalities, tools, instructions } = body;
  const limit = Math.max(4096, model?.maxOutputTokens ?? 0);
  const isLimit = most === 'inf' || (Number.isInteger(most) && Number(most) >= 1 && Number(most) <= limit);
  if (most !== undefined && !isLimit) return invalid(`${path}.max_output_tokens`, most);
  const isOne =
    Array.isArray(modalities) && modalities.length === 1 && ['text', 'audio'].includes(String(modalities[0]));
  if (modalities !== undefined && !isOne) return invalid(`${path}.output_modalities`, modalities);
  if (instructions !== undefined && typeof instructions !== 'string')
    return invalid(`${path}.instructions`, instructions);
  const foreign = Array.isArray(tools)
    ? tools.find((tool) => !isObject(tool) || tool.type !== 'function')
    : undefined;
  return foreign === undefined ? null : notSimulated(`${path}.tools`);
}

function missing(name: string): ApiError {
  return invalidRequest(`Missing required parameter: '${name}'.`, name, 'missing_required_parameter');
}

function invalid(name: string, value: unknown): ApiError {
  return invalidRequest(
    `Invalid value: '${typeof value === 'string' ? value : JSON.stringify(value)}'.`,
    name,
    'invalid_value',
  );
}
