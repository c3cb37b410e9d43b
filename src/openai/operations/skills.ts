/**
 * Skills that are stored: files that a container gets, free by themselves (OpenAI's pricing page names no price, read in November
 * 2026). What runs them is held as any container is.
 */
import { free } from './descriptor.ts';

const SKILL = '/skills/{skill_id}';
const VERSIONS = `${SKILL}/versions`;
const VERSION = `${VERSIONS}/{version}`;
const PAGE = ['after', 'limit', 'order'];
/** Many files in one form; what of it the API takes is its business. */
const FORM_BYTES = 64 * 1024 * 1024;

export const SKILLS = [
  free({
    name: 'skills.create',
    method: 'POST',
    path: '/skills',
    request: 'multipart',
    takesJson: true,
    bodyBytesMax: FORM_BYTES,
    makes: { kind: 'skill', at: 'id' },
  }),
  free({
    name: 'skills.list',
    method: 'GET',
    path: '/skills',
    lists: { kind: 'skill', pageMax: 100, pageDefault: 20 },
    query: PAGE,
  }),
  free({ name: 'skills.retrieve', method: 'GET', path: SKILL }),
  free({ name: 'skills.update', method: 'POST', path: SKILL }),
  free({ name: 'skills.delete', method: 'DELETE', path: SKILL, ends: true }),
  free({ name: 'skills.content', method: 'GET', path: `${SKILL}/content`, isFile: true }),
  free({
    name: 'skills.versions.create',
    method: 'POST',
    path: VERSIONS,
    request: 'multipart',
    takesJson: true,
    bodyBytesMax: FORM_BYTES,
  }),
  free({ name: 'skills.versions.list', method: 'GET', path: VERSIONS, query: PAGE }),
  free({ name: 'skills.versions.retrieve', method: 'GET', path: VERSION }),
  free({ name: 'skills.versions.delete', method: 'DELETE', path: VERSION }),
  free({ name: 'skills.versions.content', method: 'GET', path: `${VERSION}/content`, isFile: true }),
];
