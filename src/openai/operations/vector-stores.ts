/**
 * Vector stores. What they keep is billed by the day ($0.10 a GiB beyond the organization's first one, OpenAI's pricing page
 * of September 2026), whether it is used or not: a job charges it to the team that made the store (jobs/storage.ts). What adds
 * to a store needs as much money as a GiB costs for a day, and takes none of it. Searching is free: its fee is of the tool in
 * responses ("Responses API only", the same page).
 */
import type { Bounds } from '../body.ts';
import { free, lasting } from './descriptor.ts';

const STORE = '/vector_stores/{vector_store_id}';
const FILE = `${STORE}/files/{file_id}`;
const BATCH = `${STORE}/file_batches/{batch_id}`;
const FILES_QUERY = ['after', 'before', 'filter', 'limit', 'order'];
const pricedAs = 'vector_store';

export const VECTOR_STORES = [
  lasting({
    name: 'vector_stores.create',
    path: '/vector_stores',
    pricedAs,
    bound: readAddition,
    makes: { kind: 'vector_store', at: 'id' },
  }),
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
  free({ name: 'vector_stores.search', method: 'POST', path: `${STORE}/search` }),
  free({ name: 'vector_stores.files.list', method: 'GET', path: `${STORE}/files`, query: FILES_QUERY }),
  lasting({ name: 'vector_stores.files.create', path: `${STORE}/files`, pricedAs, bound: readAddition }),
  free({ name: 'vector_stores.files.retrieve', method: 'GET', path: FILE }),
  free({ name: 'vector_stores.files.update', method: 'POST', path: FILE }),
  free({ name: 'vector_stores.files.delete', method: 'DELETE', path: FILE }),
  free({ name: 'vector_stores.files.content', method: 'GET', path: `${FILE}/content` }),
  lasting({
    name: 'vector_stores.file_batches.create',
    path: `${STORE}/file_batches`,
    pricedAs,
    bound: readAddition,
    makes: { kind: 'file_batch', at: 'id' },
  }),
  free({ name: 'vector_stores.file_batches.retrieve', method: 'GET', path: BATCH }),
  free({ name: 'vector_stores.file_batches.cancel', method: 'POST', path: `${BATCH}/cancel` }),
  free({
    name: 'vector_stores.file_batches.files',
    method: 'GET',
    path: `${BATCH}/files`,
    query: FILES_QUERY,
  }),
];

/** A GiB for a day, in steps of its meter. */
const GIB_DAY = 1_000_000;

/** Nothing is billed at once; who has nothing left adds nothing that would cost every day. */
function readAddition(): Bounds {
  const media = {
    otherBounds: { storage_gib_days: GIB_DAY },
    stated: { usage: {}, isExact: true },
    pricedAs,
  };
  return { outputTokensLimit: 0, choices: 1, extraOutputTokens: 0, media };
}
