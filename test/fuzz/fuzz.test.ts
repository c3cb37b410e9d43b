/** A short run of what `npm run fuzz` does at length, without its verdict on turns that no request takes alone: see turns.ts. */
import { expect, it } from 'vitest';
import { temporaryFolder } from '../support/folder.ts';
import { fuzzApi } from './fuzz.ts';

it('whatever a request is, nothing breaks, nothing takes long, and nothing is held', {
  timeout: 600_000,
}, async () => {
  const dataDir = await temporaryFolder();
  const { sent, statuses, failures, heldUsd } = await fuzzApi({ dataDir, firstSeed: 1, count: 3000 });
  expect(failures).toEqual([]);
  expect(sent).toBe(3000);
  expect(heldUsd).toBe('0.00');
  // Most are no nonsense: they reach the upstream, or what stands before it.
  expect(statuses[200]).toBeGreaterThan(300);
  expect(statuses[400]).toBeGreaterThan(300);
});
