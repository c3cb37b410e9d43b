/**
 * Vector stores. What they keep is billed by the day ($0.10 a GiB beyond the organization's first one, OpenAI's pricing page
 * of September 2026). That is not charged to their teams yet, so that nothing can be added; stores that a team was given by
 * an administrator can be read and deleted.
 */
import { free, refused } from './descriptor.ts';

const STORE = '/vector_stores/{vector_store_id}';
const FILE = `${STORE}/files/{file_id}`;
const BATCH = `${STORE}/file_batches/{batch_id}`;
const STORED = 'what a vector store keeps is billed by the day, which is not charged to its team yet';
const FILES_QUERY = ['after', 'before', 'filter', 'limit', 'order'];

export const VECTOR_STORES = [
  ...refused(
    'vector_stores',
    STORED,
    `/vector_stores POST
    /vector_stores/{vector_store_id}/files POST
    /vector_stores/{vector_store_id}/file_batches POST`,
  ),
  ...refused(
    'vector_stores.search',
    'whether a search is billed is not published',
    '/vector_stores/{vector_store_id}/search POST',
  ),
  free({
    name: 'vector_stores.list',
    method: 'GET',
    path: '/vector_stores',
    lists: { kind: 'vector_store', pageMax: 100, pageDefault: 20 },
    query: ['after', 'before', 'limit', 'order'],
  }),
  free({ name: 'vector_stores.retrieve', method: 'GET', path: STORE }),
  free({ name: 'vector_stores.update', method: 'POST', path: STORE }),
  free({ name: 'vector_stores.delete', method: 'DELETE', path: STORE, ends: true }),
  free({ name: 'vector_stores.files.list', method: 'GET', path: `${STORE}/files`, query: FILES_QUERY }),
  free({ name: 'vector_stores.files.retrieve', method: 'GET', path: FILE }),
  free({ name: 'vector_stores.files.update', method: 'POST', path: FILE }),
  free({ name: 'vector_stores.files.delete', method: 'DELETE', path: FILE }),
  free({ name: 'vector_stores.files.content', method: 'GET', path: `${FILE}/content` }),
  free({ name: 'vector_stores.file_batches.retrieve', method: 'GET', path: BATCH }),
  free({ name: 'vector_stores.file_batches.cancel', method: 'POST', path: `${BATCH}/cancel` }),
  free({
    name: 'vector_stores.file_batches.files',
    method: 'GET',
    path: `${BATCH}/files`,
    query: FILES_QUERY,
  }),
];
