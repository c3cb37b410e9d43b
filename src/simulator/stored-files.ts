/** Files, uploads and vector stores. What is in stores is billed by the day (storage.ts), nothing else of them. */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { isObject, type JsonObject } from './fields.ts';
import { type Part, readMultipart } from './multipart.ts';
import {
  newId,
  nowSeconds,
  pageOf,
  type StoredState,
  type StoredStore,
  type StoredUpload,
} from './stored.ts';

export interface StoredRequest {
  exchange: Exchange;
  stored: StoredState;
  /** What the braces of the path stand for. */
  ids: string[];
  /** The JSON body; empty where there is none. */
  body: JsonObject;
  bytes: Buffer;
  search: URLSearchParams;
}

/** Returns the response, or bytes of a file; null: it was sent. */
export type Handler = (request: StoredRequest) => JsonObject | ApiError | Buffer | null;

/** Method, path below `/v1`, name on the invoice. */
export type StoredRoute = readonly [string, string, string, Handler];

const HOUR_S = 3600;
const PAGES = { limit: 20, most: 100 };

const deleted = (id: string, object: string): JsonObject => ({ id, object, deleted: true });

export const FILE_ROUTES: readonly StoredRoute[] = [
  ['POST', '/files', 'files.create', createFile],
  ['GET', '/files', 'files.list', listFiles],
  ['GET', '/files/{}', 'files.retrieve', ({ stored, ids }) => jsonOf(stored.files.find(ids[0] ?? ''))],
  [
    'DELETE',
    '/files/{}',
    'files.delete',
    ({ stored, ids: [id = ''] }) => {
      const found = stored.files.find(id);
      if (isApiError(found)) return found;
      stored.files.delete(id);
      return deleted(id, 'file');
    },
  ],
  [
    'GET',
    '/files/{}/content',
    'files.content',
    ({ stored, ids }) => {
      const found = stored.files.find(ids[0] ?? '');
      return isApiError(found) ? found : found.content;
    },
  ],
  ['POST', '/uploads', 'uploads.create', createUpload],
  ['POST', '/uploads/{}/parts', 'uploads.parts.create', addPart],
  ['POST', '/uploads/{}/complete', 'uploads.complete', completeUpload],
  [
    'POST',
    '/uploads/{}/cancel',
    'uploads.cancel',
    ({ stored, ids }) => {
      const found = stored.uploads.find(ids[0] ?? '');
      if (!isApiError(found)) found.json = { ...found.json, status: 'cancelled' };
      return jsonOf(found);
    },
  ],
  ['POST', '/vector_stores', 'vector_stores.create', createStore],
  ['POST', '/vector_stores/{}/search', 'vector_stores.search', searchStore],
  [
    'GET',
    '/vector_stores',
    'vector_stores.list',
    ({ stored, search }) =>
      pageOf(
        stored.stores.list(({ json }) => json),
        search,
        PAGES,
      ),
  ],
  [
    'GET',
    '/vector_stores/{}',
    'vector_stores.retrieve',
    ({ stored, ids }) => jsonOf(stored.stores.find(ids[0] ?? '')),
  ],
  [
    'POST',
    '/vector_stores/{}',
    'vector_stores.update',
    ({ stored, ids, body }) => {
      const found = stored.stores.find(ids[0] ?? '');
      if (!isApiError(found)) found.json = { ...found.json, ...body };
      return jsonOf(found);
    },
  ],
  [
    'DELETE',
    '/vector_stores/{}',
    'vector_stores.delete',
    ({ stored, ids: [id = ''] }) => {
      const found = stored.stores.find(id);
      if (isApiError(found)) return found;
      stored.stores.delete(id);
      return deleted(id, 'vector_store.deleted');
    },
  ],
  [
    'POST',
    '/vector_stores/{}/files',
    'vector_stores.files.create',
    (request) => inStore(request, (store) => addFile(request, store, String(request.body.file_id))),
  ],
  [
    'GET',
    '/vector_stores/{}/files',
    'vector_stores.files.list',
    (request) => inStore(request, ({ files }) => pageOf([...files.values()], request.search, PAGES)),
  ],
  [
    'GET',
    '/vector_stores/{}/files/{}',
    'vector_stores.files.retrieve',
    (request) => inStore(request, (store) => fileOf(request, store)),
  ],
  ['POST', '/vector_stores/{}/files/{}', 'vector_stores.files.update', updateFile],
  [
    'DELETE',
    '/vector_stores/{}/files/{}',
    'vector_stores.files.delete',
    (request) =>
      inStore(request, ({ files }) => {
        const id = request.ids[1] ?? '';
        return files.delete(id) ? deleted(id, 'vector_store.file.deleted') : noFile(id);
      }),
  ],
  [
    'GET',
    '/vector_stores/{}/files/{}/content',
    'vector_stores.files.content',
    (request) =>
      inStore(request, (store) => {
        const found = fileOf(request, store);
        const file = request.stored.files.find(request.ids[1] ?? '');
        if (isApiError(found)) return found;
        if (isApiError(file)) return file;
        const data = [{ type: 'text', text: file.content.toString() }];
        return { object: 'vector_store.file_content.page', data, has_more: false, next_page: null };
      }),
  ],
  ['POST', '/vector_stores/{}/file_batches', 'vector_stores.file_batches.create', createBatch],
  [
    'GET',
    '/vector_stores/{}/file_batches/{}',
    'vector_stores.file_batches.retrieve',
    (request) => inBatch(request, ({ json }) => json),
  ],
  [
    'POST',
    '/vector_stores/{}/file_batches/{}/cancel',
    'vector_stores.file_batches.cancel',
    (request) => inBatch(request, ({ json }) => json),
  ],
  [
    'GET',
    '/vector_stores/{}/file_batches/{}/files',
    'vector_stores.file_batches.files',
    (request) =>
      inBatch(request, ({ fileIds }, { files }) =>
        pageOf(fileIds.map((id) => files.get(id)).filter(isObject), request.search, PAGES),
      ),
  ],
];

function jsonOf(found: { json: JsonObject } | ApiError): JsonObject | ApiError {
  return isApiError(found) ? found : found.json;
}

function partsOf({ exchange, bytes }: StoredRequest): Map<string, Part> | ApiError {
  const type = String(exchange.request.headers['content-type'] ?? '');
  return readMultipart(type, bytes) ?? invalidRequest("Missing required parameter: 'file'.", 'file');
}

function createFile(request: StoredRequest): JsonObject | ApiError {
  const parts = partsOf(request);
  if (isApiError(parts)) return parts;
  const file = parts.get('file');
  const purpose = parts.get('purpose')?.bytes.toString();
  if (file === undefined) return invalidRequest("Missing required parameter: 'file'.", 'file');
  if (purpose === undefined) return invalidRequest("Missing required parameter: 'purpose'.", 'purpose');
  return keepFile(request, file.filename ?? 'file', purpose, file.bytes);
}

/** Keeps a file, as if it had been uploaded. */
export function keepFile(
  { exchange, stored }: Pick<StoredRequest, 'exchange' | 'stored'>,
  filename: string,
  purpose: string,
  content: Buffer,
): JsonObject {
  const json = {
    ...{
      id: newId('file-', exchange.random),
      object: 'file',
      bytes: content.length,
      created_at: nowSeconds(),
    },
    ...{ filename, purpose, expires_at: null, status: 'processed', status_details: null },
  };
  stored.files.add({ id: json.id, json, content });
  return json;
}

function listFiles({ stored, search }: StoredRequest): JsonObject | ApiError {
  const purpose = search.get('purpose');
  const files = stored.files.list(({ json }) => json);
  const wanted = files.filter(
    (json) => json.deleted === true || purpose === null || json.purpose === purpose,
  );
  return pageOf(wanted, search, { limit: 10_000, most: 10_000 });
}

function createUpload({ exchange, stored, body }: StoredRequest): JsonObject {
  const { bytes, filename, purpose } = body;
  const created_at = nowSeconds();
  const json = {
    ...{ id: newId('upload_', exchange.random), object: 'upload', bytes, filename, purpose, created_at },
    ...{ status: 'pending', expires_at: created_at + HOUR_S },
  };
  stored.uploads.add({ id: json.id, json, parts: new Map() });
  return json;
}

function addPart(request: StoredRequest): JsonObject | ApiError {
  const upload = request.stored.uploads.find(request.ids[0] ?? '');
  if (isApiError(upload)) return upload;
  const parts = partsOf(request);
  if (isApiError(parts)) return parts;
  const id = newId('part_', request.exchange.random);
  upload.parts.set(id, parts.get('data')?.bytes ?? Buffer.alloc(0));
  return { id, object: 'upload.part', created_at: nowSeconds(), upload_id: upload.json.id };
}

function completeUpload(request: StoredRequest): JsonObject | ApiError {
  const upload: StoredUpload | ApiError = request.stored.uploads.find(request.ids[0] ?? '');
  if (isApiError(upload)) return upload;
  const ids = Array.isArray(request.body.part_ids) ? request.body.part_ids.map(String) : [];
  const pieces = ids.flatMap((id) => upload.parts.get(id) ?? []);
  if (pieces.length < ids.length || ids.length === 0)
    return invalidRequest('A part of the upload does not exist.', 'part_ids');
  const { filename, purpose } = upload.json;
  const file = keepFile(request, String(filename), String(purpose), Buffer.concat(pieces));
  upload.json = { ...upload.json, status: 'completed', file };
  return upload.json;
}

function createStore(request: StoredRequest): JsonObject | ApiError {
  const { exchange, stored, body } = request;
  const id = newId('vs_', exchange.random);
  const created_at = nowSeconds();
  const store: StoredStore & { id: string } = {
    id,
    json: {
      ...{
        id,
        object: 'vector_store',
        created_at,
        name: body.name ?? null,
        usage_bytes: 0,
        status: 'completed',
      },
      ...{ last_active_at: created_at, metadata: body.metadata ?? {} },
    },
    files: new Map(),
    batches: new Map(),
  };
  for (const fileId of Array.isArray(body.file_ids) ? body.file_ids : []) {
    const added = addFile(request, store, String(fileId));
    if (isApiError(added)) return added;
  }
  stored.stores.add(store);
  return store.json;
}

function addFile({ exchange, stored }: StoredRequest, store: StoredStore, id: string): JsonObject | ApiError {
  const file = stored.files.find(id);
  if (isApiError(file)) return file;
  const json = {
    ...{ id, object: 'vector_store.file', created_at: nowSeconds(), vector_store_id: store.json.id },
    ...{
      usage_bytes: file.content.length * exchange.state.profile.storedBytesPerByte,
      status: 'completed',
      last_error: null,
      attributes: {},
    },
  };
  store.files.set(id, json);
  store.json = { ...store.json, usage_bytes: bytesOf(store) };
  return json;
}

function bytesOf({ files }: StoredStore): number {
  return [...files.values()].reduce((sum, { usage_bytes: bytes }) => sum + Number(bytes), 0);
}

function searchStore(request: StoredRequest): JsonObject | ApiError {
  return inStore(request, ({ files }) => {
    const data = [...files.values()].map(({ id, attributes }) => ({
      ...{ file_id: id ?? null, filename: 'a.txt', score: 0.5, attributes },
      content: [{ type: 'text', text: 'x' }],
    }));
    return {
      ...{ object: 'vector_store.search_results.page', search_query: [request.body.query], data },
      ...{ has_more: false, next_page: null },
    };
  });
}

function noFile(id: string): ApiError {
  return invalidRequest(`No file found with id '${id}' in vector store.`, null, null, 404);
}

function fileOf({ ids }: StoredRequest, { files }: StoredStore): JsonObject | ApiError {
  return files.get(ids[1] ?? '') ?? noFile(ids[1] ?? '');
}

function updateFile(request: StoredRequest): JsonObject | ApiError {
  return inStore(request, (store) => {
    const found = fileOf(request, store);
    if (isApiError(found)) return found;
    const json = { ...found, attributes: request.body.attributes ?? {} };
    store.files.set(String(found.id), json);
    return json;
  });
}

function inStore(
  { stored, ids }: StoredRequest,
  use: (store: StoredStore) => JsonObject | ApiError,
): JsonObject | ApiError {
  const found = stored.stores.find(ids[0] ?? '');
  return isApiError(found) ? found : use(found);
}

function createBatch(request: StoredRequest): JsonObject | ApiError {
  return inStore(request, (store) => {
    const { file_ids: ids, files } = request.body;
    const listed = Array.isArray(files) ? files.filter(isObject).map(({ file_id }) => file_id) : [];
    const fileIds = [...(Array.isArray(ids) ? ids : []), ...listed].map(String);
    for (const id of fileIds) {
      const added = addFile(request, store, id);
      if (isApiError(added)) return added;
    }
    const id = newId('vsfb_', request.exchange.random);
    const counts = {
      in_progress: 0,
      completed: fileIds.length,
      failed: 0,
      cancelled: 0,
      total: fileIds.length,
    };
    const json = {
      ...{ id, object: 'vector_store.file_batch', created_at: nowSeconds(), vector_store_id: store.json.id },
      ...{ status: 'completed', file_counts: counts },
    };
    store.batches.set(id, { json, fileIds });
    return json;
  });
}

function inBatch(
  request: StoredRequest,
  use: (batch: { json: JsonObject; fileIds: string[] }, store: StoredStore) => JsonObject | ApiError,
): JsonObject | ApiError {
  return inStore(request, (store) => {
    const id = request.ids[1] ?? '';
    const batch = store.batches.get(id);
    return batch === undefined
      ? invalidRequest(`No file batch found with id '${id}'.`, null, null, 404)
      : use(batch, store);
  });
}
