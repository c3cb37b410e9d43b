/**
 * Containers, in which tools run code. A session of twenty minutes is billed by the GiB of memory when one is made (OpenAI's
 * pricing page, 2026-09); what calls use later is theirs (gateway/containers.ts). Files in a container cost nothing.
 */
import { CONTAINER_GIB } from '../../domain/operation.ts';
import type { Bounds, Fields } from '../body.ts';
import { memoryGib } from '../hosted-tools.ts';
import { free, lasting } from './descriptor.ts';

const CONTAINER = '/containers/{container_id}';
const FILES = `${CONTAINER}/files`;
/** A file has an id of its container: it lies in that. */
const pathObjects = { container_id: 'container' } as const;
const LIST_QUERY = ['after', 'limit', 'order'];
/** The whole form is held in memory, since its fields may name a file of another team. */
const FORM_BYTES = 64 * 1024 * 1024;

export const CONTAINERS = [
  lasting({
    name: 'containers.create',
    path: '/containers',
    pricedAs: 'container',
    bound: readContainer,
    makes: { kind: 'container', at: 'id' },
  }),
  free({
    name: 'containers.list',
    method: 'GET',
    path: '/containers',
    lists: { kind: 'container', pageMax: 100, pageDefault: 20 },
    query: [...LIST_QUERY, 'name'],
  }),
  free({ name: 'containers.retrieve', method: 'GET', path: CONTAINER }),
  free({ name: 'containers.delete', method: 'DELETE', path: CONTAINER, ends: true }),
  free({ name: 'containers.files.list', method: 'GET', path: FILES, query: LIST_QUERY }),
  free({
    name: 'containers.files.create',
    method: 'POST',
    path: FILES,
    request: 'form',
    takesJson: true,
    bodyBytesMax: FORM_BYTES,
  }),
  free({ name: 'containers.files.retrieve', method: 'GET', path: `${FILES}/{file_id}`, pathObjects }),
  free({ name: 'containers.files.delete', method: 'DELETE', path: `${FILES}/{file_id}`, pathObjects }),
  free({
    name: 'containers.files.content',
    method: 'GET',
    path: `${FILES}/{file_id}/content`,
    pathObjects,
    isFile: true,
  }),
];

/** The memory is billed. */
function readContainer(fields: Fields): Bounds {
  const gib = memoryGib(fields.json.memory_limit);
  if (gib === null) {
    const limits = CONTAINER_GIB.map((each) => `${each}g`).join(', ');
    fields.invalid('memory_limit', `'memory_limit' must be one of ${limits}.`);
  }
  const usage = { container_sessions: gib ?? 0 };
  const media = { otherBounds: usage, stated: { usage, isExact: true }, pricedAs: 'container' };
  return { outputTokensLimit: 0, choices: 1, extraOutputTokens: 0, media };
}
