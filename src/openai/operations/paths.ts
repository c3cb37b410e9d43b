/**
 * Paths with parameters, and queries. Owns: which segment of a path is what, and what of a query is sent on. Invariant: a
 * path goes upstream as it was understood, its parameters being ids as the API makes them.
 */
import type { NamedObject } from '../../domain/objects.ts';
import type { Descriptor } from './descriptor.ts';

/** One operation as found in a request line. */
export interface Route {
  readonly descriptor: Descriptor;
  /** Path (and, on GET, a harmless query) to append to the upstream's base URL: `/chat/completions`. */
  readonly path: string;
  /** The model named by the path (`models.retrieve`), otherwise null. */
  readonly model: string | null;
  /** Objects that the path and the query name; null: they name none. */
  readonly objects: readonly NamedObject[] | null;
}

/** Ids as the API makes them; a segment that is none matches no operation. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/;
const HARMLESS_QUERY = /^[A-Za-z0-9_.=&-]{1,256}$/;
const QUERY_CHARACTERS_MAX = 4096;

interface Template {
  readonly descriptor: Descriptor;
  readonly segments: readonly string[];
}

/** Paths with parameters, by method and number of segments. */
export class Templates {
  readonly #templates = new Map<string, Template[]>();

  add(descriptor: Descriptor): void {
    const segments = descriptor.path.split('/');
    const key = `${descriptor.method} ${segments.length}`;
    const known = this.#templates.get(key) ?? [];
    known.push({ descriptor, segments });
    // Of two that match, the one whose own words come first is meant.
    known.sort((a, b) => (wordsOf(a) < wordsOf(b) ? -1 : 1));
    this.#templates.set(key, known);
  }

  /** Finds the operation of a path below `/v1`, without its query. */
  find(method: string, path: string): Route | null {
    const segments = path.replaceAll(/%3a/gi, ':').split('/');
    const candidates = this.#templates.get(`${method} ${segments.length}`) ?? [];
    const found = candidates.find((template) =>
      template.segments.every((word, at) => fits(word, segments[at])),
    );
    return found === undefined ? null : routeOf(found, segments);
  }
}

function wordsOf({ segments }: Template): string {
  return segments.map((segment) => (segment.startsWith('{') ? '1' : '0')).join('');
}

function fits(word: string, segment = ''): boolean {
  return word.startsWith('{') ? ID.test(segment) : word === segment;
}

function routeOf({ descriptor, segments }: Template, given: readonly string[]): Route {
  const objects: NamedObject[] = [];
  let model: string | null = null;
  for (const [at, segment] of segments.entries()) {
    const param = segment.slice(1, -1);
    const id = given[at] ?? '';
    const kind = segment.startsWith('{') ? descriptor.pathObjects[param] : undefined;
    if (kind !== undefined) objects.push({ kind, id, param });
    if (segment === '{model}') model = id;
  }
  return { descriptor, path: given.join('/'), model, objects: objects.length === 0 ? null : objects };
}

/**
 * Returns the route with what of a query is sent on: what the operation documents; of operations that document nothing a
 * plain query on GET. Null: the query cannot be understood. The cursor of a list is an object of its own.
 */
export function withQuery(route: Route, query: string): Route | null {
  const { descriptor, path } = route;
  if (descriptor.query === null) {
    return descriptor.method === 'GET' && HARMLESS_QUERY.test(query)
      ? { ...route, path: `${path}?${query}` }
      : route;
  }
  if (query.length > QUERY_CHARACTERS_MAX) return null;
  const kept = new URLSearchParams();
  const objects = [...(route.objects ?? [])];
  for (const [name, value] of new URLSearchParams(query)) {
    const plain = name.replace(/\[.*$/, '');
    if (!descriptor.query.includes(plain)) continue;
    kept.append(name, value);
    if (descriptor.lists === null || (plain !== 'after' && plain !== 'before')) continue;
    objects.push({ kind: descriptor.lists.kind, id: value, param: plain });
  }
  const text = kept.toString();
  return {
    ...route,
    path: text === '' ? path : `${path}?${text}`,
    objects: objects.length === 0 ? null : objects,
  };
}
