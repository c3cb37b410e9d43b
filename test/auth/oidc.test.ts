/** What is believed of an identity provider that is not as others are. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OidcClient } from '../../src/auth/oidc.ts';
import type { Identity } from '../../src/store/sign-in.ts';

/** A provider on this machine, whose tokens no one has to verify: they come straight from it. */
let tokenPath = '/token';
let claims: object = {};
let nonce: string | null = null;
const asked: string[] = [];
const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const server = createServer((request, response) => {
  const path = new URL(request.url!, issuer).pathname;
  asked.push(path);
  const now = Math.floor(Date.now() / 1000);
  const idToken = { iss: issuer, sub: 's-1', aud: 'tollgate', iat: now, exp: now + 60, nonce, ...claims };
  const answers: Record<string, object> = {
    '/.well-known/openid-configuration': {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: issuer + tokenPath,
      jwks_uri: `${issuer}/keys`,
    },
    [tokenPath]: {
      access_token: 'x',
      token_type: 'Bearer',
      id_token: `${encoded({ alg: 'RS256' })}.${encoded(idToken)}.${encoded({})}`,
    },
  };
  response.statusCode = answers[path] ? 200 : 404;
  response.setHeader('content-type', 'application/json').end(JSON.stringify(answers[path] ?? {}));
});
let issuer = '';
let client: OidcClient;
const problems: unknown[] = [];
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const where = { issuer, clientId: 'tollgate', clientSecret: 'secret', publicUrl: 'http://127.0.0.1:1' };
  const reads = { scope: 'openid', groupsClaim: 'groups', allowedDomains: ['example.com'] };
  client = new OidcClient({ ...where, ...reads }, (problem) => problems.push(problem));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function signIn(): Promise<Identity | string> {
  const begun = await client.begin('/console');
  if (typeof begun === 'string') return begun;
  const { searchParams } = new URL(begun.url);
  nonce = searchParams.get('nonce');
  return client.finish(`?code=x&state=${searchParams.get('state')}`, begun.attempt);
}

it.each([
  ['in a text', { email: 'Ada@Example.com', email_verified: 'true', groups: 'finance' }],
  [
    'as a boolean',
    { email: 'ada@example.com', email_verified: true, groups: ['finance', 7, null, 'finance'] },
  ],
])('a verified address %s is one, and one group is a group', async (_, said) => {
  claims = said;
  expect(await signIn()).toMatchObject({ userName: 'ada@example.com', groups: ['finance'] });
});

it.each([
  ['false', 'example.com'],
  [false, 'example.com'],
  ['TRUE, they say', 'example.com'],
  [true, 'example.com.evil.example'],
])('an address of which is said %j, at %s, is none', async (email_verified, domain) => {
  claims = { email: `ada@${domain}`, email_verified };
  expect(await signIn()).toBe('domain');
});

it('one that has moved is found again at the next sign-in, and is else asked once what it is', async () => {
  claims = { email: 'ada@example.com', email_verified: true };
  asked.length = 0;
  await signIn();
  expect(asked).toEqual(['/token']);
  tokenPath = '/moved';
  expect(await signIn()).toBe('failed');
  expect(await signIn()).toMatchObject({ subject: 's-1' });
  expect(problems).toHaveLength(1);
});
