import { type ApiError, apiError } from '../../domain/errors.ts';
import type { JsonObject } from '../wire/json.ts';

/** The largest output limit that is passed on: OpenAI's integers are 32 bits wide. */
export const MAX_TOKENS = 2 ** 31 - 1;
const MAX_NAME_CHARACTERS = 256;

/**
 * Typed reading of one request's fields. The first error found stays and later reads go on with harmless values, so
 * that a reader of an operation is a plain list of fields; its caller reads `error` at the end.
 * Null and missing mean the same, as they do upstream.
 */
export class Fields {
  readonly json: JsonObject;
  error: ApiError | null = null;
  /** The first part of the input that costs more tokens than it has bytes. */
  inputBoundParam: string | null = null;

  constructor(json: JsonObject) {
    this.json = json;
  }

  invalid(param: string, message: string): void {
    this.error ??= apiError('invalid_request', message, { param });
  }

  /** Refuses what nothing in the request bounds, naming the field. */
  unbounded(param: string, why: string): void {
    const message = `The cost of this request cannot be bounded before it is sent: ${why}. Remove '${param}'.`;
    this.error ??= apiError('unbounded_request', message, { param });
  }

  /** Refuses a field unless it is missing, null, false or an empty list. */
  unboundedIfSet(name: string, why: string): void {
    const value = this.json[name];
    if (value === undefined || value === null || value === false) return;
    if (Array.isArray(value) && value.length === 0) return;
    this.unbounded(name, why);
  }

  integer(name: string, least: number, most: number): number | null {
    const value = this.json[name];
    if (value === undefined || value === null) return null;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    this.invalid(name, `'${name}' must be an integer from ${least} to ${most}.`);
    return null;
  }

  boolean(name: string): boolean {
    const value = this.json[name];
    if (value === undefined || value === null) return false;
    if (typeof value !== 'boolean') this.invalid(name, `'${name}' must be a boolean.`);
    return value === true;
  }

  /** A short text such as a model's or a user's name; null when missing or empty. */
  name(name: string): string | null {
    const value = this.json[name];
    if (value === undefined || value === null || value === '') return null;
    if (typeof value === 'string' && value.length <= MAX_NAME_CHARACTERS) return value;
    this.invalid(name, `'${name}' must be a string of at most ${MAX_NAME_CHARACTERS} characters.`);
    return null;
  }

  object(name: string): JsonObject | null {
    const value = this.json[name];
    if (value === undefined || value === null) return null;
    if (typeof value === 'object' && !Array.isArray(value)) return value;
    this.invalid(name, `'${name}' must be an object.`);
    return null;
  }
}

/** What one operation's fields say about its cost, beside what all operations have in common. */
export interface Bounds {
  /** Output tokens per choice, null: open-ended. */
  outputTokensLimit: number | null;
  choices: number;
  extraOutputTokens: number;
}

/** Fields into which the gateway can write an output limit. */
export type OutputLimitField = 'max_completion_tokens' | 'max_output_tokens' | null;
