/** A short run of what `npm run fuzz` does at length. */
import { expect, it } from 'vitest';
import { fuzz } from './fuzz/fuzz.ts';
import { tryRequests } from './fuzz/requests.ts';
import { tryResponse } from './fuzz/responses.ts';

it('reads and serves requests as node:http does, but for the rules that are written down', async () => {
  const { cases, kinds, differences } = await fuzz(tryRequests, 1, 2000);
  expect(differences).toEqual([]);
  expect(cases).toBe(2000);
  // It is the wire that is tried here, not Node alone.
  expect(kinds.served).toBeGreaterThan(400);
  expect(kinds.refused).toBeGreaterThan(50);
});

it('makes of responses what undici does, but for the rules that are written down', async () => {
  const { differences, kinds } = await fuzz(tryResponse, 1, 2000);
  expect(differences).toEqual([]);
  expect(kinds.complete).toBeGreaterThan(500);
  expect(kinds.error).toBeGreaterThan(500);
});
