/** Reads the fields of a JSON body as the API does: absent and null are the same, the first error is the response. */
import { type ApiError, invalidRequest } from './errors.ts';

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'decimal';
  return typeof value;
}

export function missing(name: string): ApiError {
  return invalidRequest(`Missing required parameter: '${name}'.`, name, 'missing_required_parameter');
}

export function wrongType(name: string, expected: string, value: unknown): ApiError {
  const message = `Invalid type for '${name}': expected ${expected}, but got ${typeName(value)} instead.`;
  return invalidRequest(message, name, 'invalid_type');
}

export function invalidValue(name: string, value: unknown, supported: readonly string[]): ApiError {
  const list = supported.map((one) => `'${one}'`).join(', ');
  const message = `Invalid value: '${String(value)}'. Supported values are: ${list}.`;
  return invalidRequest(message, name, 'invalid_value');
}

/** Keeps the first error, so that a reader of a body needs no checks between its fields. */
export class FieldReader {
  readonly body: JsonObject;
  error: ApiError | null = null;

  constructor(body: JsonObject) {
    this.body = body;
  }

  fail(error: ApiError): void {
    this.error ??= error;
  }

  /** Returns the field if it passes `is`; null when it is absent; null after an error otherwise. */
  #read<Value>(name: string, expected: string, is: (value: unknown) => value is Value): Value | null {
    const value = this.body[name];
    if (value === undefined || value === null) return null;
    if (is(value)) return value;
    this.fail(wrongType(name, expected, value));
    return null;
  }

  integer(name: string, min: number, max = Number.MAX_SAFE_INTEGER): number | null {
    const value = this.#read(name, 'an integer', (one): one is number => Number.isInteger(one));
    if (value === null || (value >= min && value <= max)) return value;
    const [bound, sign, code] =
      value < min ? [min, '>=', 'integer_below_min_value'] : [max, '<=', 'integer_above_max_value'];
    const side = value < min ? 'below minimum' : 'above maximum';
    const text = `Invalid '${name}': integer ${side} value. Expected a value ${sign} ${bound}, but got ${value} instead.`;
    this.fail(invalidRequest(text, name, String(code)));
    return null;
  }

  decimal(name: string, min: number, max: number): number | null {
    const value = this.#read(name, 'a decimal', (one): one is number => typeof one === 'number');
    if (value === null || (value >= min && value <= max)) return value;
    const text = `Invalid '${name}': expected a value between ${min} and ${max}, but got ${value} instead.`;
    this.fail(invalidRequest(text, name, 'decimal_out_of_range'));
    return null;
  }

  boolean(name: string): boolean {
    return this.#read(name, 'a boolean', (one): one is boolean => typeof one === 'boolean') ?? false;
  }

  string(name: string): string | null {
    return this.#read(name, 'a string', (one): one is string => typeof one === 'string');
  }

  object(name: string): JsonObject | null {
    return this.#read(name, 'an object', isObject);
  }

  objects(name: string): JsonObject[] | null {
    const isObjects = (one: unknown): one is JsonObject[] => Array.isArray(one) && one.every(isObject);
    return this.#read(name, 'an array of objects', isObjects);
  }

  /** One of a few strings, or null when absent. */
  choice(name: string, supported: readonly string[]): string | null {
    const value = this.string(name);
    if (value === null || supported.includes(value)) return value;
    this.fail(invalidValue(name, value, supported));
    return null;
  }

  has(name: string): boolean {
    return this.body[name] !== undefined && this.body[name] !== null;
  }
}
