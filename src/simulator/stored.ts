/** Objects that the simulated API keeps and hands out by their id, and the pages in which it lists them. */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import type { JsonObject } from './fields.ts';
import type { Random } from './random.ts';
import { randomHex } from './random.ts';

/** Of each kind the oldest are forgotten beyond this. */
const OBJECTS_MAX = 2000;

/** Objects of one kind, in the order in which they were made. */
export class Shelf<Value extends JsonObject> {
  /** Null: it was deleted, and is still a place in a list. */
  readonly #values = new Map<string, Value | null>();
  /** What stands before the id in its error: `No such File object`. */
  readonly #missing: (id: string) => string;

  constructor(missing: (id: string) => string) {
    this.#missing = missing;
  }

  add(value: Value & { id: string }): void {
    this.#values.set(value.id, value);
    const [oldest] = this.#values.keys();
    if (this.#values.size > OBJECTS_MAX && oldest !== undefined) this.#values.delete(oldest);
  }

  /** Returns the object, or the error of the API where there is none. */
  find(id: string): Value | ApiError {
    return this.#values.get(id) ?? invalidRequest(this.#missing(id), 'id', null, 404);
  }

  delete(id: string): void {
    this.#values.set(id, null);
  }

  /** Returns what `show` makes of each, and its bare id of what was deleted. */
  list(show: (value: Value) => JsonObject): JsonObject[] {
    return [...this.#values].map(([id, value]) => (value === null ? { id, deleted: true } : show(value)));
  }
}

/** A stored answer with what it was asked. */
export interface StoredAnswer extends JsonObject {
  /** Written when it is asked for, which is rare. */
  json: () => JsonObject;
  input: () => JsonObject[];
  metadata: unknown;
  /** Ends it; missing: it was whole when it was made. */
  cancel?: () => JsonObject | ApiError;
  /** Missing: it was not made to be streamed. */
  work?: Replayed | null;
}

/** Events that become known by and by, and stay. */
export interface Replayed {
  readonly events: readonly string[];
  readonly isOver: boolean;
  /** Calls back whenever more is known, until the returned function is called. */
  watch(reader: () => void): () => void;
}

export interface StoredFile extends JsonObject {
  json: JsonObject;
  content: Buffer;
}

export interface StoredUpload extends JsonObject {
  json: JsonObject;
  parts: Map<string, Buffer>;
}

export interface StoredStore extends JsonObject {
  json: JsonObject;
  /** Its files by id, and its batches. */
  files: Map<string, JsonObject>;
  batches: Map<string, { json: JsonObject; fileIds: string[] }>;
}

/** A fine-tuning job, a batch or a run of an eval. */
export interface StoredJob extends JsonObject {
  json: JsonObject;
  /** Stops what it does now; null: it does nothing. */
  stop: (() => void) | null;
  events: JsonObject[];
}

export interface StoredContainer extends JsonObject {
  json: JsonObject;
  files: Map<string, { json: JsonObject; content: Buffer }>;
}

/** What stands of an object, and the versions that lie in it. */
export interface StoredPlain extends JsonObject {
  json: JsonObject;
  versions: JsonObject[];
}

export class StoredState {
  readonly skills = new Shelf<StoredPlain>((id) => `Skill with id '${id}' not found.`);
  readonly evals = new Shelf<StoredPlain>((id) => `Eval with id '${id}' not found.`);
  readonly runs = new Shelf<StoredJob>((id) => `Eval run with id '${id}' not found.`);
  readonly consents = new Shelf<StoredPlain>((id) => `Voice consent with id '${id}' not found.`);
  readonly trainings = new Shelf<StoredJob>((id) => `Could not find fine tune: ${id}`);
  readonly batches = new Shelf<StoredJob>((id) => `No batch found with id '${id}'.`);

  readonly containers = new Shelf<StoredContainer>((id) => `Container with id '${id}' not found.`);
  readonly responses = new Shelf<StoredAnswer>((id) => `Response with id '${id}' not found.`);
  readonly completions = new Shelf<StoredAnswer>((id) => `Chat completion with id '${id}' not found.`);
  readonly conversations = new Shelf<{ id: string; json: JsonObject; items: JsonObject[] }>(
    (id) => `Conversation with id '${id}' not found.`,
  );
  readonly files = new Shelf<StoredFile>((id) => `No such File object: ${id}`);
  readonly uploads = new Shelf<StoredUpload>((id) => `No such Upload object: ${id}`);
  readonly stores = new Shelf<StoredStore>((id) => `No vector store found with id '${id}'.`);
}

/** Applies to what was found; an error passes through. */
export function on<Value extends object>(
  found: Value | ApiError,
  use: (value: Value) => JsonObject | ApiError | Buffer | null,
): JsonObject | ApiError | Buffer | null {
  return isApiError(found) ? found : use(found as Value);
}

export function newId(prefix: string, random: Random): string {
  return prefix + randomHex(random, 24);
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/**
 * A page of a list, as `after`, `before`, `limit` and `order` ask for it; objects come in the order in which they were made,
 * those that were deleted as places for a cursor.
 */
export function pageOf(
  objects: readonly JsonObject[],
  search: URLSearchParams,
  { limit: usual, most, order = 'desc' }: { limit: number; most: number; order?: 'asc' | 'desc' },
): JsonObject | ApiError {
  const limit = Number(search.get('limit') ?? usual);
  if (!Number.isInteger(limit) || limit < 1 || limit > most) {
    const message = `Invalid 'limit': expected an integer between 1 and ${most}.`;
    return invalidRequest(message, 'limit', 'integer_out_of_range');
  }
  const sorted = (search.get('order') ?? order) === 'asc' ? [...objects] : objects.toReversed();
  const placeOf = (name: string) => sorted.findIndex(({ id }) => id === search.get(name));
  const after = search.has('after') ? placeOf('after') : -1;
  const before = search.has('before') ? placeOf('before') : sorted.length;
  if ((search.has('after') && after === -1) || before === -1)
    return invalidRequest('The cursor names no object of the list.', 'after', null, 404);
  const between = sorted.slice(after + 1, before).filter(({ deleted }) => deleted !== true);
  const data = search.has('before') ? between.slice(-limit) : between.slice(0, limit);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: between.length > data.length,
  };
}
