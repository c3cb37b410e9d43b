/** Operations on what is kept: responses, stored completions, conversations. None of them is billed. */

import { replay } from './background.ts';
import { BATCH_ROUTES } from './batches.ts';
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import { EVAL_RUN_ROUTES } from './evals.ts';
import type { Exchange } from './exchange.ts';
import { isObject, type JsonObject } from './fields.ts';
import { newId, nowSeconds, on, pageOf, type StoredAnswer, type StoredState } from './stored.ts';
import { CONTAINER_ROUTES } from './stored-containers.ts';
import { FILE_ROUTES, type StoredRequest, type StoredRoute } from './stored-files.ts';
import { SKILL_ROUTES } from './stored-skills.ts';
import { TRAINING_ROUTES } from './training.ts';

const deleted = (id: string, object: string): JsonObject => ({ id, object, deleted: true });

const PAGES = { limit: 20, most: 100 };

const ROUTES: readonly StoredRoute[] = [
  [
    'GET',
    '/responses/{}',
    'responses.retrieve',
    ({ exchange, stored, ids, search }) =>
      on(stored.responses.find(ids[0] ?? ''), ({ json, work }) =>
        search.get('stream') === 'true' ? replay(exchange, work, search) : json(),
      ),
  ],
  [
    'DELETE',
    '/responses/{}',
    'responses.delete',
    ({ stored, ids: [id = ''] }) =>
      on(stored.responses.find(id), () => {
        stored.responses.delete(id);
        return deleted(id, 'response');
      }),
  ],
  [
    'POST',
    '/responses/{}/cancel',
    'responses.cancel',
    ({ stored, ids }) =>
      on(stored.responses.find(ids[0] ?? ''), ({ cancel }) =>
        cancel === undefined ? invalidRequest('Cannot cancel a synchronous response.') : cancel(),
      ),
  ],
  [
    'GET',
    '/responses/{}/input_items',
    'responses.input_items',
    ({ stored, ids, search }) =>
      on(stored.responses.find(ids[0] ?? ''), ({ input }) => pageOf(input(), search, PAGES)),
  ],
  ['GET', '/chat/completions', 'chat.completions.list', listCompletions],
  [
    'GET',
    '/chat/completions/{}',
    'chat.completions.retrieve',
    ({ stored, ids }) => on(stored.completions.find(ids[0] ?? ''), completionOf),
  ],
  [
    'POST',
    '/chat/completions/{}',
    'chat.completions.update',
    ({ stored, ids, body }) =>
      on(stored.completions.find(ids[0] ?? ''), (answer) => {
        answer.metadata = body.metadata ?? {};
        return completionOf(answer);
      }),
  ],
  [
    'DELETE',
    '/chat/completions/{}',
    'chat.completions.delete',
    ({ stored, ids: [id = ''] }) =>
      on(stored.completions.find(id), () => {
        stored.completions.delete(id);
        return deleted(id, 'chat.completion.deleted');
      }),
  ],
  [
    'GET',
    '/chat/completions/{}/messages',
    'chat.completions.messages',
    ({ stored, ids, search }) =>
      on(stored.completions.find(ids[0] ?? ''), ({ input }) =>
        pageOf(input(), search, { ...PAGES, order: 'asc' }),
      ),
  ],
  ['POST', '/conversations', 'conversations.create', makeConversation],
  [
    'GET',
    '/conversations/{}',
    'conversations.retrieve',
    ({ stored, ids }) => on(stored.conversations.find(ids[0] ?? ''), ({ json }) => json),
  ],
  [
    'POST',
    '/conversations/{}',
    'conversations.update',
    ({ stored, ids, body }) =>
      on(stored.conversations.find(ids[0] ?? ''), (conversation) => {
        conversation.json = { ...conversation.json, metadata: body.metadata ?? {} };
        return conversation.json;
      }),
  ],
  [
    'DELETE',
    '/conversations/{}',
    'conversations.delete',
    ({ exchange, stored, ids: [id = ''] }) =>
      on(stored.conversations.find(id), () => {
        stored.conversations.delete(id);
        exchange.state.kept.deleteConversation(id);
        return deleted(id, 'conversation.deleted');
      }),
  ],
  [
    'GET',
    '/conversations/{}/items',
    'conversations.items.list',
    ({ exchange, stored, ids: [id = ''], search }) =>
      on(stored.conversations.find(id), () => pageOf(exchange.state.kept.itemsOf(id), search, PAGES)),
  ],
  [
    'POST',
    '/conversations/{}/items',
    'conversations.items.create',
    ({ exchange, stored, ids: [id = ''], body }) =>
      on(stored.conversations.find(id), () => {
        const items = newItems(exchange, body.items);
        exchange.state.kept.addItems(id, items);
        return pageOf(items, new URLSearchParams('order=asc'), PAGES);
      }),
  ],
  [
    'GET',
    '/conversations/{}/items/{}',
    'conversations.items.retrieve',
    ({ exchange, stored, ids: [id = '', itemId = ''] }) =>
      on(stored.conversations.find(id), () => itemOf(exchange, id, itemId)),
  ],
  [
    'DELETE',
    '/conversations/{}/items/{}',
    'conversations.items.delete',
    ({ exchange, stored, ids: [id = '', itemId = ''] }) =>
      on(stored.conversations.find(id), ({ json }) => {
        const item = itemOf(exchange, id, itemId);
        if (!isApiError(item)) exchange.state.kept.deleteItem(id, itemId);
        return isApiError(item) ? item : json;
      }),
  ],
  ...FILE_ROUTES,
  ...TRAINING_ROUTES,
  ...BATCH_ROUTES,
  ...CONTAINER_ROUTES,
  ...SKILL_ROUTES,
  ...EVAL_RUN_ROUTES,
];

function listCompletions({ stored, search }: StoredRequest): JsonObject | ApiError {
  const model = search.get('model');
  const wanted = [...search].flatMap(([name, value]) => {
    const key = /^metadata\[(.+)\]$/.exec(name)?.[1];
    return key === undefined ? [] : [[key, value] as const];
  });
  const found = stored.completions
    .list(completionOf)
    .filter((json) => json.deleted === true || model === null || json.model === model)
    .filter(
      ({ deleted, metadata }) =>
        deleted === true || wanted.every(([key, value]) => isObject(metadata) && metadata[key] === value),
    );
  return pageOf(found, search, { ...PAGES, order: 'asc' });
}

function makeConversation({ exchange, stored, body }: StoredRequest): JsonObject {
  const id = newId('conv_', exchange.random);
  const items = newItems(exchange, body.items);
  exchange.state.kept.addConversation(id, items);
  const json = { id, object: 'conversation', created_at: nowSeconds(), metadata: body.metadata ?? {} };
  stored.conversations.add({ id, json, items });
  return json;
}

function newItems(exchange: Exchange, items: unknown): JsonObject[] {
  const given = Array.isArray(items) ? items.filter(isObject) : [];
  return given.map((item) => ({
    type: 'message',
    status: 'completed',
    ...item,
    id: newId('msg_', exchange.random),
  }));
}

function itemOf(exchange: Exchange, id: string, itemId: string): JsonObject | ApiError {
  const item = exchange.state.kept.itemsOf(id).find((each) => each.id === itemId);
  return (
    item ?? invalidRequest(`Item with id '${itemId}' not found in conversation '${id}'.`, null, null, 404)
  );
}

/**
 * Keeps an answer that its request asked to be stored.
 * @param render writes the answer's JSON
 */
export function storeAnswer(
  stored: StoredState,
  { operation, id: bareId, body }: { operation: string; id: string; body: JsonObject },
  render: () => string,
): void {
  const isResponse = operation === 'responses';
  if (isResponse ? body.store === false : body.store !== true) return;
  const answer: StoredAnswer & { id: string } = {
    id: `${isResponse ? 'resp_' : 'chatcmpl-'}${bareId}`,
    json: () => JSON.parse(render()),
    input: () => inputOf(isResponse ? body.input : body.messages, bareId),
    metadata: body.metadata ?? {},
  };
  if (isResponse) stored.responses.add(answer);
  else stored.completions.add(answer);
}

function inputOf(given: unknown, id: string): JsonObject[] {
  const list = typeof given === 'string' ? [{ type: 'message', role: 'user', content: given }] : given;
  const items = Array.isArray(list) ? list.filter(isObject) : [];
  return items.map((item, index) => ({ id: `msg_${id}_in${index}`, ...item }));
}

function completionOf({ json, metadata }: StoredAnswer): JsonObject {
  return { ...json(), metadata };
}

/** Handles a request for what is kept. Returns false where it is none. */
export function handleStored(exchange: Exchange, path: string, bytes: Buffer): boolean {
  const { method = 'GET', url = '', headers } = exchange.request;
  const segments = path.slice('/v1'.length).split('/');
  for (const [ofRoute, template, name, handler] of ROUTES) {
    const ids = ofRoute === method ? idsOf(template, segments) : null;
    if (ids === null) continue;
    exchange.entry.operation = name;
    const isJson = String(headers['content-type'] ?? '').startsWith('application/json');
    const body = isJson ? tryParse(bytes) : {};
    const search = new URLSearchParams(url.split('?', 2)[1]);
    const { stored } = exchange.state;
    const found = isObject(body)
      ? handler({ exchange, stored, ids, body, bytes, search })
      : invalidRequest('We could not parse the JSON body of your request.');
    if (found === null) return true;
    if (Buffer.isBuffer(found)) exchange.send(200, 'application/octet-stream', found, 0n);
    else if (isApiError(found)) exchange.respondError(found);
    else exchange.send(200, 'application/json', JSON.stringify(found, null, 2), exchange.feePicoUsd);
    return true;
  }
  return false;
}

function idsOf(template: string, segments: readonly string[]): string[] | null {
  const wanted = template.split('/');
  if (wanted.length !== segments.length) return null;
  const ids: string[] = [];
  for (const [at, word] of wanted.entries()) {
    const segment = segments[at] ?? '';
    if (word === '{}') ids.push(segment);
    else if (word !== segment) return null;
  }
  return ids;
}

function tryParse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString() || '{}');
  } catch {
    return null;
  }
}
