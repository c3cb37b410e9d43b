/**
 * Lists of objects: the upstream lists those of all teams, page by page; a client gets pages of its own. Owns: paging. Does
 * not own: whose an object is (store/hot/objects.ts). Invariants: nothing of another team's object is in a page, neither
 * itself nor as a cursor; `has_more` says whether there are more of one's own.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import { isObject, type JsonObject, parseJson } from '../openai/body.ts';
import type { OwnList } from '../openai/operations/descriptor.ts';
import type { UpstreamRequest } from '../wire/upstream.ts';
import type { UpstreamResponse } from './call.ts';
import { errorResponse, ledgerUnavailable } from './denial-error.ts';
import type { GatewayDeps } from './deps.ts';
import { type Forwarded, forward } from './stages/forward.ts';
import type { Reserved } from './stages/reserve.ts';

/** Objects that the upstream is asked for at once, and how often for one page of a client. */
const PAGE_OBJECTS = 1000;
const PAGES_MAX = 100;

/** Asks the upstream for pages until one of the client's own is full, or there are no more. */
export async function forwardList(deps: GatewayDeps, reserved: Reserved, lists: OwnList): Promise<Forwarded> {
  const request = reserved.outgoing.take();
  const [path = '', query = ''] = request.path.split('?', 2);
  const search = new URLSearchParams(query);
  const wanted = Number(search.get('limit') ?? lists.pageDefault);
  // What is no limit is the upstream's to refuse.
  const isLimit = Number.isInteger(wanted) && wanted >= 1 && wanted <= lists.pageMax;
  if (isLimit) search.set('limit', String(Math.min(lists.pageMax, PAGE_OBJECTS)));
  const cursor = search.has('before') ? 'before' : 'after';
  let own: JsonObject[] = [];
  for (let page = 1; ; page++) {
    const forwarded = await forward(deps, {
      ...reserved,
      outgoing: once({ ...request, path: `${path}?${search}` }),
    });
    const { response } = forwarded;
    if (response.ending !== 'complete' || response.status !== 200) return forwarded;
    const list = response.readable === null ? undefined : parseJson(response.readable.toString());
    if (!isObject(list) || !Array.isArray(list.data)) return fail(forwarded, NOT_READ);
    const objects = list.data.filter(isObject);
    const found = await ownOf(deps, reserved, lists, objects);
    if (found === null) return fail(forwarded, ledgerUnavailable());
    own = cursor === 'before' ? [...found, ...own] : [...own, ...found];
    const next = objects.at(cursor === 'before' ? 0 : -1)?.id;
    const isEnd = list.has_more !== true || typeof next !== 'string' || next === search.get(cursor);
    if (isEnd || own.length > wanted || !isLimit) {
      const limit = isLimit ? wanted : lists.pageDefault;
      const data = cursor === 'before' ? own.slice(-limit) : own.slice(0, limit);
      return { ...forwarded, response: pageOf(list, data, own.length > limit, response) };
    }
    if (page === PAGES_MAX) return fail(forwarded, TOO_MANY);
    search.set(cursor, next);
  }
}

function once(request: UpstreamRequest): Reserved['outgoing'] {
  return { take: () => request };
}

function fail(forwarded: Forwarded, error: ApiError): Forwarded {
  return { ...forwarded, response: errorResponse(error, forwarded.response) };
}

const NOT_READ = apiError(
  'upstream_interrupted',
  "The upstream's list could not be read, so that it cannot be said which of it is this team's.",
);
const TOO_MANY = apiError(
  'invalid_request',
  `The upstream keeps so many objects of other teams that ${PAGES_MAX} pages do not fill one of this team's: list 'after' one of its own.`,
  { param: 'after' },
);

/** Returns those of a page that the team may see; null: Postgres is away. */
async function ownOf(
  deps: GatewayDeps,
  { account }: Reserved,
  { kind }: OwnList,
  objects: readonly JsonObject[],
): Promise<JsonObject[] | null> {
  const ids = objects.flatMap(({ id }) => (typeof id === 'string' ? [id] : []));
  if (ids.length === 0) return [];
  try {
    // Its rows come with events, which may be on their way.
    if (kind === 'stored_completion') await deps.ledger.flusher.drain();
    const found = await deps.objects.store.findObjects(account.principal.teamId, [kind], ids);
    const own = new Set(found.map(({ id }) => id));
    return objects.filter(({ id }) => typeof id === 'string' && own.has(id));
  } catch (error) {
    deps.log.logger.warn({ err: error }, 'whose the objects of a list are could not be looked up');
    return null;
  }
}

/** Returns the list as the upstream sent it last, with these objects instead. */
function pageOf(
  list: JsonObject,
  data: readonly JsonObject[],
  hasMore: boolean,
  response: UpstreamResponse,
): UpstreamResponse {
  const page: JsonObject = { ...list, data: [...data], has_more: hasMore };
  if ('first_id' in list) page.first_id = data[0]?.id ?? null;
  if ('last_id' in list) page.last_id = data.at(-1)?.id ?? null;
  const body = Buffer.from(JSON.stringify(page));
  return {
    ...response,
    headers: { ...response.headers, 'content-encoding': undefined },
    body,
    readable: body,
  };
}
