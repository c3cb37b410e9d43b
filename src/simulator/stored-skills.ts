/** Skills with their versions, evals, and consents to voices: kept by their id. None of them is billed; runs of evals are (evals.ts). */
import { type ApiError, invalidRequest } from './errors.ts';
import type { JsonObject } from './fields.ts';
import { newId, nowSeconds, on, pageOf, type Shelf, type StoredPlain } from './stored.ts';
import type { StoredRequest, StoredRoute } from './stored-files.ts';

const PAGES = { limit: 20, most: 100 };

/** One kind of objects that are made, listed, changed and deleted. */
interface Kind {
  path: string;
  name: string;
  object: string;
  prefix: string;
  shelf(request: StoredRequest): Shelf<StoredPlain>;
}

function routesOf({ path, name, object, prefix, shelf }: Kind): StoredRoute[] {
  return [
    [
      'POST',
      path,
      `${name}.create`,
      (request) => {
        const id = newId(prefix, request.exchange.random);
        const json = { name: 'x', ...request.body, id, object, created_at: nowSeconds() };
        shelf(request).add({ id, json, versions: [] });
        return json;
      },
    ],
    [
      'GET',
      path,
      `${name}.list`,
      (request) =>
        pageOf(
          shelf(request).list(({ json }) => json),
          request.search,
          PAGES,
        ),
    ],
    [
      'GET',
      `${path}/{}`,
      `${name}.retrieve`,
      (request) => on(shelf(request).find(request.ids[0] ?? ''), ({ json }) => json),
    ],
    [
      'POST',
      `${path}/{}`,
      `${name}.update`,
      (request) =>
        on(shelf(request).find(request.ids[0] ?? ''), (kept) => {
          kept.json = { ...kept.json, ...request.body };
          return kept.json;
        }),
    ],
    [
      'DELETE',
      `${path}/{}`,
      `${name}.delete`,
      (request) =>
        on(shelf(request).find(request.ids[0] ?? ''), () => {
          const id = request.ids[0] ?? '';
          shelf(request).delete(id);
          return { id, object: `${object}.deleted`, deleted: true };
        }),
    ],
  ];
}

const VERSIONS = '/skills/{}/versions';

function version(request: StoredRequest, use: (found: JsonObject) => JsonObject | Buffer | ApiError) {
  return on(request.stored.skills.find(request.ids[0] ?? ''), ({ versions }) => {
    const found = versions.find((each) => each.version === request.ids[1]);
    return found === undefined ? invalidRequest('No such version.', 'version', null, 404) : use(found);
  });
}

export const SKILL_ROUTES: readonly StoredRoute[] = [
  ...routesOf({
    ...{ path: '/skills', name: 'skills', object: 'skill', prefix: 'skill_' },
    shelf: ({ stored }) => stored.skills,
  }),
  ...routesOf({
    ...{ path: '/evals', name: 'evals', object: 'eval', prefix: 'eval_' },
    shelf: ({ stored }) => stored.evals,
  }),
  ...routesOf({
    ...{ path: '/audio/voice_consents', name: 'audio.voice_consents', object: 'audio.voice_consent' },
    prefix: 'cons_',
    shelf: ({ stored }) => stored.consents,
  }),
  [
    'GET',
    '/skills/{}/content',
    'skills.content',
    ({ stored, ids }) => on(stored.skills.find(ids[0] ?? ''), () => Buffer.from('zip')),
  ],
  [
    'POST',
    VERSIONS,
    'skills.versions.create',
    ({ stored, ids, exchange }) =>
      on(stored.skills.find(ids[0] ?? ''), ({ versions }) => {
        const id = newId('skillver_', exchange.random);
        const made = { id, object: 'skill.version', version: String(versions.length + 1), skill_id: ids[0] };
        versions.push(made);
        return made;
      }),
  ],
  [
    'GET',
    VERSIONS,
    'skills.versions.list',
    ({ stored, ids, search }) =>
      on(stored.skills.find(ids[0] ?? ''), ({ versions }) => pageOf(versions, search, PAGES)),
  ],
  ['GET', `${VERSIONS}/{}`, 'skills.versions.retrieve', (request) => version(request, (found) => found)],
  [
    'GET',
    `${VERSIONS}/{}/content`,
    'skills.versions.content',
    (request) => version(request, () => Buffer.from('zip')),
  ],
  [
    'DELETE',
    `${VERSIONS}/{}`,
    'skills.versions.delete',
    (request) => version(request, ({ id }) => ({ id, object: 'skill.version.deleted', deleted: true })),
  ],
];
