/** Makes a JSON value that is valid against a JSON schema: what a model writes when its answer must have that form. */
import { isObject, type JsonObject } from './fields.ts';
import { textMatching } from './pattern.ts';
import type { Random } from './random.ts';

/** From this depth on the shortest choice is taken, so that recursive schemas end. */
const DEPTH_ENOUGH = 4;
/** A schema that never ends has no valid value. */
const DEPTH_MOST = 64;
const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'naïve', '漢字', '"quoted"'];

const OF_FORMAT: Record<string, string> = {
  'date-time': '2026-11-28T09:30:00Z',
  date: '2026-11-28',
  time: '09:30:00Z',
  duration: 'P1DT2H',
  email: 'fox@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.7',
  ipv6: '2001:db8::7',
  uuid: '7d444840-9dc0-4fd1-8f2d-3f0d1b6c1a01',
  uri: 'https://example.com/fox',
};

/** Returns a value that is valid against the schema; of a schema that this generator cannot read, one of its type. */
export function validValue(schema: unknown, random: Random): unknown {
  const root = isObject(schema) ? schema : {};
  return make({ root, random }, root, 0);
}

interface Context {
  /** Where `$ref` leads. */
  root: JsonObject;
  random: Random;
}

function make(context: Context, schema: unknown, depth: number): unknown {
  if (!isObject(schema) || depth > DEPTH_MOST) return null;
  if (typeof schema.$ref === 'string') return make(context, resolve(context.root, schema.$ref), depth + 1);
  if ('const' in schema) return schema.const;
  if (Array.isArray(schema.enum)) return pick(context, schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(choices)) return make(context, choose(context, choices, depth), depth + 1);
  if (Array.isArray(schema.allOf)) return make(context, merged(context.root, schema), depth + 1);
  switch (typeOf(context, schema, depth)) {
    case 'object':
      return object(context, schema, depth);
    case 'array':
      return array(context, schema, depth);
    case 'string':
      return text(context, schema);
    case 'integer':
      return number(context, schema, 1);
    case 'number':
      return number(context, schema, 0.5);
    case 'boolean':
      return context.random() < 0.5;
    default:
      return null;
  }
}

function typeOf(context: Context, { type, properties, items }: JsonObject, depth: number): unknown {
  if (Array.isArray(type))
    return depth > DEPTH_ENOUGH && type.includes('null') ? 'null' : pick(context, type);
  if (typeof type === 'string') return type;
  return properties === undefined ? (items === undefined ? 'string' : 'array') : 'object';
}

/** Deep down `null` if it is allowed, else the choice whose own form is the simplest. */
function choose(context: Context, choices: unknown[], depth: number): unknown {
  if (depth <= DEPTH_ENOUGH) return pick(context, choices);
  const simple = choices.find((one) => isObject(one) && one.type === 'null');
  const size = (one: unknown) => JSON.stringify(resolved(context.root, one)).length;
  return simple ?? choices.toSorted((a, b) => size(a) - size(b))[0];
}

/** `#/$defs/Step`, `#/definitions/Step`, or `#` for the whole. */
function resolve(root: JsonObject, reference: string): unknown {
  let found: unknown = root;
  for (const part of reference.split('/').slice(1)) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    found = isObject(found) ? found[name] : undefined;
  }
  return found;
}

function resolved(root: JsonObject, schema: unknown): unknown {
  return isObject(schema) && typeof schema.$ref === 'string' ? resolve(root, schema.$ref) : schema;
}

function merged(root: JsonObject, { allOf, ...own }: JsonObject): JsonObject {
  const parts = (Array.isArray(allOf) ? allOf : []).map((part) => resolved(root, part)).filter(isObject);
  const all: JsonObject = Object.assign({}, ...parts, own);
  all.properties = Object.assign({}, ...[...parts, own].map(({ properties }) => properties ?? {}));
  all.required = [...parts, own].flatMap(({ required }) => (Array.isArray(required) ? required : []));
  return all;
}

function object(context: Context, schema: JsonObject, depth: number): JsonObject {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : [];
  const value: JsonObject = {};
  for (const name in properties) {
    const isWanted = required.includes(name) || (depth < DEPTH_ENOUGH && context.random() < 0.5);
    if (isWanted) value[name] = make(context, properties[name], depth + 1);
  }
  for (const name of required) {
    if (typeof name === 'string' && !(name in value)) {
      value[name] = make(
        context,
        isObject(schema.additionalProperties) ? schema.additionalProperties : {},
        depth + 1,
      );
    }
  }
  return value;
}

function array(context: Context, schema: JsonObject, depth: number): unknown[] {
  const least = Number(schema.minItems ?? 0);
  const most = Math.min(Number(schema.maxItems ?? 3), Math.max(least, depth > DEPTH_ENOUGH ? 0 : 3));
  const prefix = Array.isArray(schema.prefixItems) ? schema.prefixItems : [];
  const count = Math.max(least, prefix.length, Math.floor(context.random() * (most + 1)));
  return Array.from({ length: count }, (_, at) => make(context, prefix[at] ?? schema.items ?? {}, depth + 1));
}

function text(context: Context, { format, pattern, minLength, maxLength }: JsonObject): string {
  if (typeof pattern === 'string') return textMatching(pattern, context.random);
  const known = typeof format === 'string' ? OF_FORMAT[format] : undefined;
  if (known !== undefined) return known;
  const least = Number(minLength ?? 0);
  let made = String(pick(context, WORDS));
  while (made.length < least) made += ` ${pick(context, WORDS)}`;
  return made.slice(0, Number(maxLength ?? made.length));
}

/** A multiple of the step, or of `multipleOf`, within the bounds; between two bounds anything that lies there. */
function number(context: Context, schema: JsonObject, step: number): number {
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = schema;
  const [low, high] = [minimum ?? exclusiveMinimum, maximum ?? exclusiveMaximum];
  if (step < 1 && schema.multipleOf === undefined && typeof low === 'number' && typeof high === 'number') {
    return low + (high - low) * (0.25 + context.random() / 2);
  }
  const multiple = Number(schema.multipleOf ?? step);
  const least = bound(schema.minimum, schema.exclusiveMinimum, multiple, Math.ceil);
  const most = bound(schema.maximum, schema.exclusiveMaximum, multiple, Math.floor);
  const from = least ?? (most === null ? 0 : most - 100);
  const span = Math.max(0, Math.min(100, (most ?? from + 100) - from));
  return (from + Math.floor(context.random() * (span + 1))) * multiple;
}

/** The first multiple inside a bound, as a count of multiples; null: unbounded. */
function bound(
  inclusive: unknown,
  exclusive: unknown,
  multiple: number,
  round: (value: number) => number,
): number | null {
  const inward = round === Math.ceil ? 1 : -1;
  const counts: number[] = [];
  if (typeof inclusive === 'number') counts.push(round(inclusive / multiple));
  if (typeof exclusive === 'number') {
    const edge = round(exclusive / multiple);
    counts.push(edge * multiple === exclusive ? edge + inward : edge);
  }
  if (counts.length === 0) return null;
  return inward === 1 ? Math.max(...counts) : Math.min(...counts);
}

function pick<Value>({ random }: Context, values: readonly Value[]): Value | null {
  return values[Math.floor(random() * values.length)] ?? null;
}
