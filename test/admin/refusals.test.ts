import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAdmin } from '../../src/admin/admin.ts';
import { ADMIN_KEY, createTestAdmin, type Json, type TestAdmin } from './support.ts';

const noSuch = '019abcde-0000-7000-8000-000000000000';

let admin: TestAdmin;
let team: Json;
let key: Json;
let limit: Json;
let grant: Json;
let before: string;
beforeAll(async () => {
  admin = await createTestAdmin();
  team = await admin.make('/teams', { name: 'research' });
  key = await admin.make('/keys', { team_id: team.id, name: 'app' });
  limit = await admin.make('/limits', limitBody({}));
  grant = await admin.make('/grants', { team_id: team.id, amount_usd: '1' });
  await admin.make('/prices', { model: 'chat-1', input_usd: '1', output_usd: '2', source: 'a contract' });
  before = await admin.snapshot();
});
afterAll(() => admin.close());

function limitBody(change: Record<string, unknown>) {
  const subject = { type: 'team', id: team.id };
  return { subject, meter: 'cost_usd', amount: '10', window: { type: 'lifetime' }, ...change };
}
const calendar = (change: Record<string, unknown>) => ({
  type: 'calendar',
  unit: 'day',
  time_zone: 'UTC',
  ...change,
});
const price = (change: Record<string, unknown>) => ({
  model: 'chat-2',
  input_usd: '1',
  output_usd: '2',
  source: 'x',
  ...change,
});
const credit = (change: Record<string, unknown>) => ({ team_id: team.id, amount_usd: '1', ...change });

/** What is asked, the status, the `param` and a part of the message. */
type Refusal = [string, () => [string, string, unknown], number, string | null, RegExp];

const refusals: Refusal[] = [
  ['a body that is no JSON', () => ['POST', '/teams', '{"name":'], 400, null, /JSON/],
  ['no body', () => ['POST', '/teams', undefined], 400, null, /JSON/],
  ['a body that is a list', () => ['POST', '/teams', []], 400, null, /object/],
  ['a missing name', () => ['POST', '/teams', {}], 400, 'name', /name/],
  ['a blank name', () => ['POST', '/teams', { name: '  ' }], 400, 'name', /empty/],
  ['a name of 201 characters', () => ['POST', '/teams', { name: 'x'.repeat(201) }], 400, 'name', /200/],
  ['a NUL in a name', () => ['POST', '/teams', { name: 'a\u0000b' }], 400, 'name', /control/],
  ['an unknown field', () => ['POST', '/teams', { name: 'x', plam: null }], 400, 'plam', /no such field/],
  ['an unknown plan', () => ['POST', '/teams', { name: 'x', plan: 'gold' }], 404, 'plan', /gold/],
  ['an unknown filter', () => ['GET', '/keys?team=x', undefined], 400, 'team', /no such field/],
  ['a limit of no rows', () => ['GET', '/keys?limit=0', undefined], 400, 'limit', /limit/],
  ['a repeated filter', () => ['GET', '/keys?limit=1&limit=2', undefined], 400, 'limit', /limit/],
  ['a made-up cursor', () => ['GET', '/teams?after=abc', undefined], 400, 'after', /cursor/],
  ['an empty change', () => ['PATCH', `/teams/${team.id}`, {}], 400, null, /at least one/],
  ['a changed id', () => ['PATCH', `/teams/${team.id}`, { id: noSuch }], 400, 'id', /no such field/],
  ['a key for no team', () => ['POST', '/keys', { team_id: noSuch, name: 'x' }], 404, 'team_id', /no team/],
  ['a team id that is none', () => ['POST', '/keys', { team_id: 'x', name: 'x' }], 400, 'team_id', /an id/],
  ['no models at all', () => ['PATCH', `/keys/${key.id}`, { models: [] }], 400, 'models', /models/],
  [
    'a model without a name',
    () => ['PATCH', `/keys/${key.id}`, { models: ['a', ''] }],
    400,
    'models[1]',
    /empty/,
  ],
  [
    'a date in words',
    () => ['PATCH', `/keys/${key.id}`, { expires_at: 'soon' }],
    400,
    'expires_at',
    /ISO 8601/,
  ],
  [
    'a moment without an offset',
    () => ['PATCH', `/keys/${key.id}`, { expires_at: '2027-01-01T00:00:00' }],
    400,
    'expires_at',
    /offset/,
  ],
  [
    'a day that no calendar has',
    () => ['PATCH', `/keys/${key.id}`, { expires_at: '2027-02-30' }],
    400,
    'expires_at',
    /ISO 8601/,
  ],
  [
    'an amount as a number',
    () => ['POST', '/limits', limitBody({ amount: 18 })],
    400,
    'amount',
    /decimal string/,
  ],
  ['an amount of 0', () => ['POST', '/limits', limitBody({ amount: '0.00' })], 400, 'amount', /more than 0/],
  ['a negative amount', () => ['POST', '/limits', limitBody({ amount: '-1' })], 400, 'amount', /more than 0/],
  [
    'an amount above 10^9',
    () => ['POST', '/limits', limitBody({ amount: '1000000000.01' })],
    400,
    'amount',
    /at most/,
  ],
  ['an exponent', () => ['POST', '/limits', limitBody({ amount: '1e3' })], 400, 'amount', /decimal/],
  [
    '13 decimals',
    () => ['POST', '/limits', limitBody({ amount: '1.0000000000001' })],
    400,
    'amount',
    /12 digits/,
  ],
  ['an unknown meter', () => ['POST', '/limits', limitBody({ meter: 'usd' })], 400, 'meter', /meter/],
  ['tokens', () => ['POST', '/limits', limitBody({ meter: 'tokens' })], 400, 'meter', /not supported yet/],
  [
    'soft limits',
    () => ['POST', '/limits', limitBody({ enforcement: 'soft' })],
    400,
    'enforcement',
    /supported/,
  ],
  [
    'some models',
    () => ['POST', '/limits', limitBody({ models: ['a'] })],
    400,
    'models',
    /not supported yet/,
  ],
  [
    'the org',
    () => ['POST', '/limits', limitBody({ subject: { type: 'org' } })],
    400,
    'subject.type',
    /supported/,
  ],
  [
    'an end user',
    () => ['POST', '/limits', limitBody({ subject: { type: 'user', id: 'u' } })],
    400,
    'subject.type',
    /not supported yet/,
  ],
  [
    'rolling windows',
    () => ['POST', '/limits', limitBody({ window: { type: 'rolling', seconds: 60 } })],
    400,
    'window.type',
    /not supported yet/,
  ],
  [
    'a team subject without an id',
    () => ['POST', '/limits', limitBody({ subject: { type: 'team' } })],
    400,
    'subject.id',
    /id/,
  ],
  [
    'a subject of no type',
    () => ['POST', '/limits', limitBody({ subject: { type: 'x' } })],
    400,
    'subject.type',
    /type/,
  ],
  [
    'a team that is not there',
    () => ['POST', '/limits', limitBody({ subject: { type: 'team', id: noSuch } })],
    404,
    'subject.id',
    /no team/,
  ],
  [
    'a key that is not there',
    () => ['POST', '/limits', limitBody({ subject: { type: 'key', id: noSuch } })],
    404,
    'subject.id',
    /no key/,
  ],
  [
    'a time zone of no place',
    () => ['POST', '/limits', limitBody({ window: calendar({ time_zone: 'Mars/Base' }) })],
    400,
    'window.time_zone',
    /time zone/,
  ],
  [
    'a year as a window',
    () => ['POST', '/limits', limitBody({ window: calendar({ unit: 'year' }) })],
    400,
    'window.unit',
    /day/,
  ],
  [
    'an unknown field of a window',
    () => ['POST', '/limits', limitBody({ window: calendar({ timezone: 'UTC' }) })],
    400,
    'window.timezone',
    /no such field/,
  ],
  [
    'another window',
    () => ['PATCH', `/limits/${limit.id}`, { window: calendar({}) }],
    400,
    'amount',
    /amount/,
  ],
  [
    'a grant that ends before it starts',
    () => ['POST', '/grants', credit({ starts_at: '2027-01-02', expires_at: '2027-01-01' })],
    400,
    'expires_at',
    /after starts_at/,
  ],
  [
    'an expiry before the start',
    () => ['PATCH', `/grants/${grant.id}`, { expires_at: '2001-01-01' }],
    400,
    'expires_at',
    /after starts_at/,
  ],
  [
    'a plan that gives a number',
    () => ['POST', '/plans', { name: 'p', grants: [{ amount_usd: 5, months: 1 }] }],
    400,
    'grants[0].amount_usd',
    /decimal string/,
  ],
  ['a plan that exists', () => ['POST', '/plans', { name: 'free-tier', grants: [] }], 409, 'name', /exists/],
  ['deleting the default plan', () => ['DELETE', '/plans/free-tier', undefined], 409, null, /default/],
  ['a negative price', () => ['POST', '/prices', price({ input_usd: '-1' })], 400, 'input_usd', /negative/],
  ['a tier that nobody sells', () => ['POST', '/prices', price({ tier: 'auto' })], 400, 'tier', /default/],
  ['a price without a source', () => ['POST', '/prices', price({ source: '' })], 400, 'source', /empty/],
  [
    'a price per no tokens',
    () => ['POST', '/prices', price({ per_tokens: 0 })],
    400,
    'per_tokens',
    /per_tokens/,
  ],
  [
    'free output of a model known to have output',
    () => ['POST', '/prices', { model: 'chat-1', input_usd: '1', source: 'x' }],
    400,
    'output_usd',
    /has output/,
  ],
  [
    'usage by an unknown dimension',
    () => ['GET', '/usage?group_by=team,colour', undefined],
    400,
    'group_by[1]',
    /team/,
  ],
  ['usage by the fortnight', () => ['GET', '/usage?interval=fortnight', undefined], 400, 'interval', /day/],
  [
    'usage that ends first',
    () => ['GET', '/usage?from=2027-01-02&to=2027-01-01', undefined],
    400,
    'to',
    /after/,
  ],
  ['a release without a reason', () => ['POST', `/unknown/${noSuch}/release`, {}], 400, 'reason', /reason/],
  [
    'a release of nothing',
    () => ['POST', `/unknown/${noSuch}/release`, { reason: 'x' }],
    404,
    null,
    /nothing/,
  ],
];

describe('a bad request changes nothing and is told which field is at fault:', () => {
  test.each(refusals)('%s', async (_, request, status, param, message) => {
    const [method, path, body] = request();
    const answer = await admin.ask(method, path, body);
    expect(answer).toMatchObject({
      status,
      body: { error: { type: 'invalid_request_error', param, message: expect.stringMatching(message) } },
    });
    expect(await admin.snapshot()).toBe(before);
  });
});

test('nothing is answered without the admin key, not even what is not there', async () => {
  const { database } = admin;
  const app = createAdmin({ database, adminKey: ADMIN_KEY, defaultPlan: null, settleNow: async () => {} });
  for (const authorization of [
    '',
    ADMIN_KEY,
    `Basic ${ADMIN_KEY}`,
    `Bearer ${ADMIN_KEY}x`,
    'Bearer ',
    `Bearer ${key.key}`,
  ]) {
    for (const path of ['/teams', '/openapi.json', '/nothing']) {
      const response = await app.request(`/admin/v1${path}`, { headers: { authorization } });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
    }
  }
});

test('a body above a mebibyte is refused', async () => {
  const answer = await admin.ask('POST', '/teams', { name: 'x'.repeat(1_048_577) });
  expect(answer).toMatchObject({ status: 413, body: { error: { code: 'request_too_large' } } });
});

test('an error of ours is told to the log, never to the client', async () => {
  const told: unknown[] = [];
  const app = createAdmin({
    database: admin.database,
    adminKey: ADMIN_KEY,
    defaultPlan: null,
    settleNow: () => Promise.reject(new Error('a secret detail')),
    onError: (error) => told.push(error),
  });
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const response = await app.request('/admin/v1/events', { headers });
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain('secret');
  expect(told).toHaveLength(1);
});
