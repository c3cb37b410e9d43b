/** Routes: virtual keys. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { makeKey } from '../auth/keys.ts';
import { isApiError } from '../domain/errors.ts';
import { asId } from '../domain/ids.ts';
import { MEMBER_TAG } from '../domain/tags.ts';
import {
  changeKey,
  createKey,
  findKeyRow,
  type KeyRow,
  listKeys,
  revokeKey,
  rotateKey,
} from '../store/keys.ts';
import { Key, KeyChange, Keys, MadeKey, NewKey, NewRotation, teamListQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, instantOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';
import { keyTagsProblem } from './tags.ts';

export function keyRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Make a key; only this response shows it';
  route(
    app,
    {
      method: 'post',
      path: '/keys',
      summary,
      body: NewKey,
      response: MadeKey,
      status: 201,
      ownerOfBody: async (body) => body.team_id,
    },
    async ({ body }) => {
      const { key, hash, prefix } = makeKey();
      const problem = await keyTagsProblem(database, withMember(body.tags, body.member));
      if (problem) return problem;
      const { team_id: teamId, name, models, on_shortage: onShortage } = body;
      const tags = withMember(body.tags, body.member);
      const expiresAt = dateOf(body.expires_at);
      const row = await createKey(database, {
        teamId,
        name,
        models,
        onShortage,
        tags,
        expiresAt,
        hash,
        prefix,
      });
      return isApiError(row) ? row : { ...toKey(row), key };
    },
  );
  route(
    app,
    {
      method: 'post',
      path: '/keys/{id}/rotate',
      summary:
        'Give a key a new text, which only this response shows; the text before works for the time of grace',
      body: NewRotation,
      response: MadeKey,
      status: 201,
      ownerOfItem: async (id) => (await findKeyRow(database, asId(id)))?.teamId ?? null,
    },
    async ({ id, body }) => {
      const { key, hash, prefix } = makeKey();
      const row = await rotateKey(database, asId(id), { hash, prefix }, body.grace_seconds * 1000);
      return row === null || isApiError(row) ? row : { ...toKey(row), key };
    },
  );
  resourceRoutes(app, {
    path: '/keys',
    name: 'key',
    item: Key,
    page: Keys,
    listQuery: teamListQuery,
    changeBody: KeyChange,
    idOf: (key: KeyRow) => key.id,
    teamOf: (key) => key.teamId,
    view: toKey,
    list: (page, _query, teamIds) => listKeys(database, { ...page, teamIds }),
    find: (id) => findKeyRow(database, id),
    change: async (id, { expires_at, on_shortage: onShortage, tags, member, ...change }) =>
      (await keyTagsProblem(database, withMember(tags, member))) ??
      changeKey(database, id, {
        ...change,
        onShortage,
        tags: (key) =>
          withMember(tags === undefined ? ownTags(key) : tags, member === undefined ? memberOf(key) : member),
        ...(expires_at === undefined ? {} : { expiresAt: dateOf(expires_at) }),
      }),
    remove: (id) => revokeKey(database, id),
  });
}

type KeyTags = Readonly<Record<string, string>> | null;

/** A key's tags as they are stored: to whom it belongs is one of them. */
function withMember(
  tags: KeyTags | undefined,
  member: string | null | undefined,
): Record<string, string> | null {
  const all = { ...tags, ...(member ? { [MEMBER_TAG]: member } : {}) };
  return Object.keys(all).length === 0 ? null : all;
}

const memberOf = ({ tags }: Pick<KeyRow, 'tags'>) => tags?.[MEMBER_TAG] ?? null;

function ownTags({ tags }: Pick<KeyRow, 'tags'>): Record<string, string> {
  return Object.fromEntries(Object.entries(tags ?? {}).filter(([name]) => name !== MEMBER_TAG));
}

function toKey(key: KeyRow): z.input<typeof Key> {
  return {
    id: key.id,
    team_id: key.teamId,
    name: key.name,
    prefix: key.prefix,
    models: key.models,
    on_shortage: key.onShortage,
    tags: ownTags(key),
    member: memberOf(key),
    created_at: instantOf(key.createdAt),
    expires_at: instantOf(key.expiresAt),
    revoked_at: instantOf(key.revokedAt),
    previous_expires_at: instantOf(key.previousExpiresAt),
  };
}
