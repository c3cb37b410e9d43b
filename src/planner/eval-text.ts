/**
 * Texts of an eval into which an item is written. Owns: where places for it stand, and how long what is written there can be. Pure.
 * Invariant: what else than places and text stands in them is refused.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import { quote } from '../domain/input-bound.ts';
import { isObject, type Json, type JsonObject } from '../openai/body.ts';

/** What of an item is written into a text: `['item', 'question']`. */
export type Place = readonly string[];

/** A number, a truth value, or that there is none. */
const PLAIN_BYTES = 32;
/** A value that is no text is written as JSON, with spaces and perhaps with escapes of what is not ASCII. */
const JSON_BYTES_PER_BYTE = 4;
const TEXT_PARTS = new Set<Json>(['text', 'input_text', 'output_text', 'message', 'function']);

export function valueAt(row: JsonObject, place: Place): Json | undefined {
  let value: Json | undefined = row;
  for (const name of place) {
    if (Array.isArray(value)) value = value[Number(name)];
    else value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  }
  return value;
}

/** The most bytes of a value of an item, as it is written into a text. */
export function bytesOf(value: Json | undefined): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value !== 'object' || value === null) return PLAIN_BYTES;
  return Buffer.byteLength(JSON.stringify(value)) * JSON_BYTES_PER_BYTE;
}

const PLACE = /\{\{\s*((?:item|sample)(?:\.[\w-]+|\[\d+\])*)\s*\}\}/g;

/** Returns what of an item is written into messages; an error where a message is no text, or more than places stand in it. */
export function placesIn(messages: Json | undefined, param: string): Place[] | ApiError {
  const places: Place[] = [];
  const error = addPlaces(places, messages, `${param}: its messages`);
  return error ?? places;
}

function addPlaces(places: Place[], value: Json | undefined, param: string): ApiError | null {
  if (typeof value === 'string') {
    const rest = value.replaceAll(PLACE, (_all, path: string) => {
      places.push(path.split(/[.[\]]+/).filter((name) => name !== ''));
      return '';
    });
    if (!/\{[{%#]/.test(rest)) return null;
    const remedy = "Places like '{{item.question}}' and '{{sample.output_text}}' pass.";
    return unbounded(param, 'more than places stand in their text', remedy);
  }
  if (typeof value !== 'object' || value === null) return null;
  if (!isTextPart(value)) {
    const what = `the cost of a part of the type ${quote(String(typeOf(value)))} is not held in a run`;
    return unbounded(param, what, 'Texts pass.');
  }
  for (const member of Object.values(value)) {
    const error = addPlaces(places, member, param);
    if (error !== null) return error;
  }
  return null;
}

/** Whether messages of an item hold nothing but text. */
export function hasOnlyText(value: Json | undefined): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return isTextPart(value) && Object.values(value).every(hasOnlyText);
}

/** Null: it needs none. */
function typeOf(value: JsonObject | Json[]): Json {
  return Array.isArray(value) ? null : (value.type ?? null);
}

function isTextPart(value: JsonObject | Json[]): boolean {
  const type = typeOf(value);
  return type === null || TEXT_PARTS.has(type);
}

/** Why nothing bounds a run, and what would pass. */
export function unbounded(param: string, why: string, remedy: string): ApiError {
  const message = `The cost of this run cannot be bounded before it starts: ${why}. ${remedy}`;
  return apiError('unbounded_request', message, { param });
}
