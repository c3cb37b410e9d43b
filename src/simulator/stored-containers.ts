/** Containers and their files. A session is billed when one is made (hosted.ts). */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import type { JsonObject } from './fields.ts';
import { MEMORY } from './hosted.ts';
import { readMultipart } from './multipart.ts';
import { newId, nowSeconds, pageOf, type StoredContainer } from './stored.ts';
import type { StoredRequest, StoredRoute } from './stored-files.ts';

const PAGES = { limit: 20, most: 100 };
const deleted = (id: string, object: string): JsonObject => ({ id, object, deleted: true });

export const CONTAINER_ROUTES: readonly StoredRoute[] = [
  ['POST', '/containers', 'containers.create', createContainer],
  [
    'GET',
    '/containers',
    'containers.list',
    ({ stored, search }) =>
      pageOf(
        stored.containers.list(({ json }) => json),
        search,
        PAGES,
      ),
  ],
  ['GET', '/containers/{}', 'containers.retrieve', (request) => inContainer(request, ({ json }) => json)],
  [
    'DELETE',
    '/containers/{}',
    'containers.delete',
    (request) =>
      inContainer(request, ({ json }) => {
        const id = String(json.id);
        request.stored.containers.delete(id);
        request.exchange.state.containers.delete(id);
        return deleted(id, 'container.deleted');
      }),
  ],
  ['POST', '/containers/{}/files', 'containers.files.create', addFile],
  [
    'GET',
    '/containers/{}/files',
    'containers.files.list',
    (request) =>
      inContainer(request, ({ files }) =>
        pageOf(
          [...files.values()].map(({ json }) => json),
          request.search,
          PAGES,
        ),
      ),
  ],
  [
    'GET',
    '/containers/{}/files/{}',
    'containers.files.retrieve',
    (request) => inFile(request, ({ json }) => json),
  ],
  [
    'DELETE',
    '/containers/{}/files/{}',
    'containers.files.delete',
    (request) =>
      inFile(request, ({ json }, { files }) => {
        files.delete(String(json.id));
        return deleted(String(json.id), 'container.file.deleted');
      }),
  ],
  [
    'GET',
    '/containers/{}/files/{}/content',
    'containers.files.content',
    (request) => inFile(request, ({ content }) => content),
  ],
];

function createContainer({ exchange, stored, body }: StoredRequest): JsonObject | ApiError {
  if (typeof body.name !== 'string') return invalidRequest("Missing required parameter: 'name'.", 'name');
  const limit = String(body.memory_limit ?? '1g');
  const gib = MEMORY[limit];
  if (gib === undefined) return invalidRequest(`Invalid value: '${limit}'.`, 'memory_limit', 'invalid_value');
  const id = newId('cntr_', exchange.random);
  const created_at = nowSeconds();
  const json = {
    ...{ id, object: 'container', created_at, status: 'running', name: body.name, memory_limit: limit },
    ...{ expires_after: body.expires_after ?? { anchor: 'last_active_at', minutes: 20 } },
    ...{ last_active_at: created_at, network_policy: { type: 'disabled' } },
  };
  stored.containers.add({ id, json, files: new Map() });
  exchange.state.containers.add(id, gib);
  exchange.feePicoUsd = exchange.state.containers.use({ id, gib }, Date.now());
  if (exchange.feePicoUsd > 0n) exchange.entry.units = { unit: 'sessions', amount: 1 };
  return json;
}

function addFile(request: StoredRequest): JsonObject | ApiError {
  return inContainer(request, ({ json: { id: container_id }, files }) => {
    const { exchange, stored, body, bytes } = request;
    const type = String(exchange.request.headers['content-type'] ?? '');
    const parts = type.startsWith('multipart/') ? readMultipart(type, bytes) : null;
    const named = parts?.get('file_id')?.bytes.toString() ?? body.file_id;
    const found = typeof named === 'string' ? stored.files.find(named) : null;
    if (found !== null && isApiError(found)) return found;
    const content = found?.content ?? parts?.get('file')?.bytes ?? Buffer.alloc(0);
    const id = newId('cfile_', exchange.random);
    const file = {
      ...{ id, object: 'container.file', created_at: nowSeconds(), bytes: content.length, container_id },
      ...{ path: `/mnt/data/${id}`, source: 'user' },
    };
    files.set(id, { json: file, content });
    return file;
  });
}

type Result = JsonObject | ApiError | Buffer;

function inContainer<Found extends Result>(
  { stored, ids }: StoredRequest,
  use: (container: StoredContainer) => Found,
): Found | ApiError {
  const found = stored.containers.find(ids[0] ?? '');
  return isApiError(found) ? found : use(found);
}

function inFile(
  request: StoredRequest,
  use: (file: { json: JsonObject; content: Buffer }, container: StoredContainer) => Result,
): Result {
  return inContainer<Result>(request, (container) => {
    const file = container.files.get(request.ids[1] ?? '');
    return file === undefined ? invalidRequest('No such file.', 'file_id', null, 404) : use(file, container);
  });
}
