/**
 * The OpenAI wire. Owns: which operations exist, the request fields that move cost, the bytes sent upstream, usage
 * in the answers, error bodies. Does not own: prices, limits, keys, storage; it reads no environment and logs nothing.
 * Invariants: what is not in this table is never forwarded; what was estimated is what is sent; the answer's bytes
 * are never changed, apart from the stream's usage fields that the client did not ask for.
 */
import type { OperationName } from '../domain/operation.ts';

/** One supported operation as found in a request line. */
export interface Route {
  name: OperationName;
  method: 'GET' | 'POST';
  /** Path (and, on GET, a harmless query) to append to the upstream's base URL: `/chat/completions`. */
  path: string;
  /** The model named by the path (`models.retrieve`), otherwise null. */
  model: string | null;
}

const POST_ROUTES = new Map<string, Route>(
  (
    [
      ['chat.completions', '/chat/completions'],
      ['responses', '/responses'],
      ['embeddings', '/embeddings'],
      ['completions', '/completions'],
      ['moderations', '/moderations'],
    ] as const
  ).map(([name, path]) => [`/v1${path}`, { name, method: 'POST', path, model: null }]),
);

const MODELS = '/v1/models';
const MODEL_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/;
const HARMLESS_QUERY = /^[A-Za-z0-9_.=&-]{1,256}$/;

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
  if (method === 'POST') return POST_ROUTES.get(path) ?? null;
  if (method !== 'GET' || !path.startsWith(MODELS)) return null;

  const query = mark === -1 ? '' : url.slice(mark + 1);
  const suffix = HARMLESS_QUERY.test(query) ? `?${query}` : '';
  if (path === MODELS) return { name: 'models.list', method, path: `/models${suffix}`, model: null };
  if (path[MODELS.length] !== '/') return null;
  const model = path.slice(MODELS.length + 1).replaceAll(/%3a/gi, ':');
  if (!MODEL_ID.test(model)) return null;
  return { name: 'models.retrieve', method, path: `/models/${model}${suffix}`, model };
}
