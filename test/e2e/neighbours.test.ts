/** The neighbours in small: the same program as `npm run attack -- --scenario neighbours`, judged by counts alone. */
import { expect, it } from 'vitest';
import { brokenNeighbourCounts, runNeighbours } from '../../bench/attack/neighbours.ts';

it('a hostile team makes no honest call fail, and takes neither the memory nor the event loop', async () => {
  const row = await runNeighbours({ seconds: 4, progress: () => {} });
  expect(brokenNeighbourCounts(row), JSON.stringify(row)).toEqual([]);
  expect(row.hostile.calls).toBe(200);
  // It was there, in every way.
  for (const act of ['hugeBody', 'manyValues', 'unfinishedUpload', 'deafStream', 'wrongKey', 'freeCall']) {
    expect(row.hostile.eleventh, act).toHaveProperty(act);
  }
}, 600_000);
