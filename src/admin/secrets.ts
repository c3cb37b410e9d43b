/** Routes: secrets of upstreams, which stand encrypted in Postgres. Invariant: no response has a value. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import type { Vault } from '../auth/vault.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import {
  findSecret,
  listSecrets,
  removeSecret,
  resealSecrets,
  type SecretRow,
  writeSecret,
} from '../store/secrets.ts';
import { NewSecret, pageQuery, Secret, SecretChange, Secrets, SecretsRotated } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function secretRoutes(app: OpenAPIHono, { database, vault = null }: AdminOptions): void {
  const view = (row: SecretRow) => toSecret(row, vault);
  const write = async (name: string, value: string) =>
    vault === null ? noVault() : writeSecret(database, { name, ...vault.seal(name, value) });
  route(
    app,
    {
      method: 'post',
      path: '/secrets',
      summary: 'Keep a secret, new or in the place of the one of that name',
      body: NewSecret,
      response: Secret,
      status: 201,
    },
    async ({ body: { name, value } }) => show(await write(name, value), view),
  );
  route(
    app,
    {
      method: 'post',
      path: '/secrets/rotate',
      summary: 'Encrypt with the first master key what others encrypted',
      response: SecretsRotated,
    },
    async () => (vault === null ? noVault() : rotate({ database, vault })),
  );
  resourceRoutes(app, {
    path: '/secrets',
    name: 'secret',
    textId: true,
    item: Secret,
    page: Secrets,
    listQuery: pageQuery,
    changeBody: SecretChange,
    idOf: (row: SecretRow) => row.name,
    view,
    list: (page) => listSecrets(database, page),
    find: (name) => findSecret(database, name),
    change: async (name, { value }) =>
      (await findSecret(database, name)) === null ? null : write(name, value),
    remove: (name) => removeSecret(database, name),
  });
}

async function rotate({ database, vault }: { database: AdminOptions['database']; vault: Vault }) {
  const unreadable: string[] = [];
  const rotated = await resealSecrets(database, (row) => {
    const value = vault.open(row.name, row);
    if (value === null) unreadable.push(row.name);
    return value === null || row.keyId === vault.keyId ? null : vault.seal(row.name, value);
  });
  return { rotated, unreadable };
}

function show(row: SecretRow | ApiError | null, view: (row: SecretRow) => z.input<typeof Secret>) {
  if (row === null) throw new Error('a secret was written, and is not there');
  return 'keyId' in row ? view(row) : row;
}

function toSecret(row: SecretRow, vault: Vault | null): z.input<typeof Secret> {
  return {
    name: row.name,
    is_readable: vault?.open(row.name, row) != null,
    needs_rotation: vault !== null && row.keyId !== vault.keyId,
    created_at: instantOf(row.createdAt),
    changed_at: instantOf(row.changedAt),
  };
}

function noVault(): ApiError {
  return apiError(
    'invalid_request',
    'Secrets are encrypted with TOLLGATE_SECRETS_KEY (or TOLLGATE_SECRETS_KEY_FILE), which is not set here.',
  );
}
