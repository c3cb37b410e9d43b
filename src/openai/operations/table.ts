/**
 * The table of operations. Owns: which operations exist and how a request line finds its own. Does not own: what each
 * of them is (the family files). Invariant: what is not in this table is never forwarded.
 */
import { CHAT } from './chat.ts';
import { PROMPTS } from './completions.ts';
import type { Descriptor } from './descriptor.ts';
import { FREE } from './free.ts';
import { RESPONSES } from './responses.ts';

/** Every operation, in the order in which people look for them. */
export const OPERATIONS: readonly Descriptor[] = [...CHAT, ...RESPONSES, ...PROMPTS, ...FREE];

/** One operation as found in a request line. */
export interface Route {
  readonly descriptor: Descriptor;
  /** Path (and, on GET, a harmless query) to append to the upstream's base URL: `/chat/completions`. */
  readonly path: string;
  /** The model named by the path (`models.retrieve`), otherwise null. */
  readonly model: string | null;
}

/** Ids as the API makes them; a segment that is none matches no operation. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/;
const HARMLESS_QUERY = /^[A-Za-z0-9_.=&-]{1,256}$/;
const ROOT = '/v1';

/** Operations without a parameter in their path, by method and path. */
const exact = new Map<string, Map<string, Route>>();
/** Those with one, which is their last segment, by method and what stands before it. */
const prefixed = new Map<string, Map<string, Descriptor>>();

for (const descriptor of OPERATIONS) {
  const { method, path } = descriptor;
  const parameter = path.indexOf('{');
  if (parameter === -1) entry(exact, method).set(ROOT + path, { descriptor, path, model: null });
  else entry(prefixed, method).set(ROOT + path.slice(0, parameter), descriptor);
}

function entry<Value>(maps: Map<string, Map<string, Value>>, key: string): Map<string, Value> {
  const known = maps.get(key);
  if (known) return known;
  const made = new Map<string, Value>();
  maps.set(key, made);
  return made;
}

/**
 * Finds the operation of a request line. Paths match byte for byte: percent-encoding, doubled or trailing slashes and
 * dot segments find nothing, because the upstream may read them as another operation. The one escape understood is
 * `%3A`, which the official SDKs write for the colons of a fine-tuned model's id.
 * A query is forwarded on GET when it is plain, and dropped otherwise: no supported operation documents one.
 * Returns null for everything else (404 `unsupported_operation`).
 */
export function findRoute(method: string, url: string): Route | null {
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const found = exact.get(method)?.get(path);
  const suffix = found && (mark === -1 || method !== 'GET') ? '' : suffixOf(method, url, mark);
  if (found) return suffix === '' ? found : { ...found, path: found.path + suffix };

  const end = path.lastIndexOf('/') + 1;
  const descriptor = prefixed.get(method)?.get(path.slice(0, end));
  if (descriptor === undefined) return null;
  const id = path.slice(end).replaceAll(/%3a/gi, ':');
  if (!ID.test(id)) return null;
  return { descriptor, path: `${path.slice(ROOT.length, end)}${id}${suffix}`, model: id };
}

function suffixOf(method: string, url: string, mark: number): string {
  if (mark === -1 || method !== 'GET') return '';
  const query = url.slice(mark + 1);
  return HARMLESS_QUERY.test(query) ? `?${query}` : '';
}

/** The operations that a usage report of the upstream covers, by the report's name. */
export function operationsOfReport(report: NonNullable<Descriptor['report']>): string[] {
  return OPERATIONS.filter((descriptor) => descriptor.report === report).map(({ name }) => name);
}
