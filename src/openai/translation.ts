/**
 * The events of sessions that translate (OpenAPI specification 2.3.0, `RealtimeTranslationClientEvent`). Owns: which of a client's events
 * are sent on. What is not known is refused, as everywhere: it could cost something.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import { isObject, type Json, type JsonObject } from './body.ts';

/** The one format: 24 kHz, 16 bits, mono. */
export const AUDIO_BYTES_PER_SECOND = 48_000;

export const APPEND = 'session.input_audio_buffer.append';
export const UPDATE = 'session.update';
export const CLOSE = 'session.close';

/** What `session.update` may change, below `session.audio`. */
const UPDATE_FIELDS: Readonly<Record<string, readonly string[]>> = {
  input: ['transcription', 'noise_reduction'],
  output: ['language'],
};

/** Returns why an update is not sent on; null: it is. */
export function whyNotUpdate({ session }: JsonObject): ApiError | null {
  if (!isObject(session))
    return apiError('invalid_request', "'session' must be an object.", { param: 'session' });
  const { audio = {}, ...others } = session;
  const [other] = Object.keys(others);
  if (other !== undefined) return notKnown(`session.${other}`);
  if (!isObject(audio)) return apiError('invalid_request', "'session.audio' must be an object.");
  for (const [side, fields] of Object.entries(audio)) {
    const known = Object.hasOwn(UPDATE_FIELDS, side) ? (UPDATE_FIELDS[side] ?? []) : null;
    if (known === null) return notKnown(`session.audio.${side}`);
    const name = Object.keys(isObject(fields) ? fields : {}).find((each) => !known.includes(each));
    if (name !== undefined) return notKnown(`session.audio.${side}.${name}`);
  }
  return hasTranscript(session) ? unpricedTranscript() : null;
}

/** Whether a session's configuration asks for a transcript of its source. */
export function hasTranscript(session: JsonObject): boolean {
  return (objectOf(objectOf(session.audio).input).transcription ?? null) !== null;
}

/** Returns a configuration without that transcript. */
export function withoutTranscript(session: JsonObject): JsonObject {
  const audio = objectOf(session.audio);
  return { ...session, audio: { ...audio, input: { ...objectOf(audio.input), transcription: null } } };
}

function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function notKnown(field: string): ApiError {
  const param = field.slice(0, 100);
  const message = `Tollgate does not know '${param}' of a session that translates: leave it out.`;
  return apiError('unbounded_request', message, { param });
}

function unpricedTranscript(): ApiError {
  const param = 'session.audio.input.transcription';
  const message = `What '${param}' costs beside the translation is not published: leave it out. The translation's own transcript comes all the same.`;
  return apiError('unbounded_request', message, { param });
}

export function unknownEvent(type: Json | undefined): ApiError {
  const message = `Tollgate does not send on events of the type '${String(type).slice(0, 64)}'. It sends on: ${UPDATE}, ${APPEND}, ${CLOSE}.`;
  return apiError('invalid_request', message, { param: 'type' });
}
