/** Files, and uploads that become one. Storing them is free (OpenAI's pricing page names no price, read in November 2026). */
import { free } from './descriptor.ts';

const FILE = '/files/{file_id}';
const UPLOAD = '/uploads/{upload_id}';
/** Of the API: 512 MB for a file, 64 MB for a part of an upload. Beside the file there are a few short fields. */
const FILE_BYTES = 512 * 1024 * 1024;
const PART_BYTES = 64 * 1024 * 1024;
const FIELDS_BYTES = 64 * 1024;

export const FILES = [
  free({
    name: 'files.create',
    method: 'POST',
    path: '/files',
    request: 'multipart',
    bodyBytesMax: FILE_BYTES + FIELDS_BYTES,
    makes: { kind: 'file', at: 'id' },
  }),
  free({
    name: 'files.list',
    method: 'GET',
    path: '/files',
    lists: { kind: 'file', pageMax: 10_000, pageDefault: 10_000 },
    query: ['after', 'limit', 'order', 'purpose'],
  }),
  free({ name: 'files.retrieve', method: 'GET', path: FILE }),
  free({ name: 'files.delete', method: 'DELETE', path: FILE, ends: true }),
  free({ name: 'files.content', method: 'GET', path: `${FILE}/content`, isFile: true }),
  free({
    name: 'uploads.create',
    method: 'POST',
    path: '/uploads',
    makes: { kind: 'upload', at: 'id' },
  }),
  free({
    name: 'uploads.parts.create',
    method: 'POST',
    path: `${UPLOAD}/parts`,
    request: 'multipart',
    bodyBytesMax: PART_BYTES + FIELDS_BYTES,
    makes: { kind: 'upload_part', at: 'id' },
  }),
  free({
    name: 'uploads.complete',
    method: 'POST',
    path: `${UPLOAD}/complete`,
    makes: { kind: 'file', at: 'file' },
  }),
  free({ name: 'uploads.cancel', method: 'POST', path: `${UPLOAD}/cancel` }),
];
