import { testInvalidRequests } from './invalid-requests.ts';
import type { Json } from './support.ts';

const price = (change: Record<string, unknown>) => ({
  model: 'chat-2',
  input_usd: '1',
  output_usd: '2',
  source: 'x',
  ...change,
});
const credit = (team: Json, change: Record<string, unknown>) => ({
  team_id: team.id,
  amount_usd: '1',
  ...change,
});

testInvalidRequests([
  [
    'a grant that ends before it starts',
    (made) => ['POST', '/grants', credit(made.team, { starts_at: '2027-01-02', expires_at: '2027-01-01' })],
    400,
    'expires_at',
    /after starts_at/,
  ],
  [
    'an expiry before the start',
    (made) => ['PATCH', `/grants/${made.grant.id}`, { expires_at: '2001-01-01' }],
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
    'no price of output',
    () => ['POST', '/prices', { model: 'chat-1', input_usd: '1', source: 'x' }],
    400,
    'output_usd',
    /output_usd/,
  ],
]);
