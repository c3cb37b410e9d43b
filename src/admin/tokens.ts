/** Routes: service tokens, by which programs use the admin API. Invariant: a token makes no token, so none outlives its maker. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { makeKey, TOKEN_MARK } from '../auth/keys.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId } from '../domain/ids.ts';
import {
  changeToken,
  createToken,
  findToken,
  listTokens,
  revokeToken,
  type TokenRow,
} from '../store/tokens.ts';
import { listQuery, MadeToken, NewToken, ServiceToken, ServiceTokens, TokenChange } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, instantOf, pageOf } from './page.ts';
import { roleCheck } from './people.ts';
import { route } from './route.ts';

const MADE_BY_TOKEN = apiError(
  'not_allowed',
  'a service token makes no other token: a person who may manage people does, or the admin key',
);

export function tokenRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const one = { path: '/tokens/{id}', response: ServiceToken } as const;
  const show = (row: TokenRow | ApiError | null) => (row === null || isApiError(row) ? row : toToken(row));
  route(
    app,
    {
      method: 'get',
      path: '/tokens',
      summary: 'List service tokens, oldest first',
      query: listQuery,
      response: ServiceTokens,
    },
    ({ query }) =>
      pageOf(query, {
        list: (page) => listTokens(database, page),
        idOf: (row) => row.id,
        view: toToken,
      }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/tokens',
      summary: 'Make a service token; only this response shows it',
      body: NewToken,
      response: MadeToken,
      status: 201,
    },
    async ({ body: { name, roles, expires_at }, caller }) => {
      if (caller.isToken) return MADE_BY_TOKEN;
      const { key: token, hash, prefix } = makeKey(TOKEN_MARK);
      const { personId } = caller;
      const expiresAt = dateOf(expires_at ?? null);
      const made = { name, roles, hash, prefix, personId, expiresAt };
      const row = await createToken(database, made, roleCheck(caller));
      return isApiError(row) ? row : { ...toToken(row), token };
    },
  );
  route(app, { ...one, method: 'get', summary: 'Show one service token' }, async ({ id }) =>
    show(await findToken(database, asId(id))),
  );
  route(
    app,
    { ...one, method: 'patch', summary: 'Change a service token', body: TokenChange },
    async ({ id, body: { name, roles, expires_at }, caller }) => {
      const change = { name, roles, expiresAt: dateOf(expires_at ?? null) ?? undefined };
      return show(await changeToken(database, asId(id), change, roleCheck(caller)));
    },
  );
  route(
    app,
    { ...one, method: 'delete', summary: 'Revoke a service token, on every replica at once' },
    async ({ id, caller }) => show(await revokeToken(database, asId(id), roleCheck(caller))),
  );
}

function toToken(row: TokenRow): z.input<typeof ServiceToken> {
  return {
    id: row.id,
    name: row.name,
    prefix: row.prefix,
    roles: row.roles,
    person_id: row.personId,
    created_at: instantOf(row.createdAt),
    expires_at: instantOf(row.expiresAt),
    revoked_at: instantOf(row.revokedAt),
    last_used_at: instantOf(row.lastUsedAt),
  };
}
