/**
 * The attack in small: the same program as `npm run attack`, on one and on two replicas, and on one of two workers,
 * each kill once.
 */
import { expect, it } from 'vitest';
import { attackGrant } from '../../bench/attack/grant.ts';
import { brokenPromises } from '../../bench/attack/promises.ts';
import { SMALL_PLAN } from '../../bench/attack/strikes.ts';

const SMALL = { clients: 50, seed: 7, plan: SMALL_PLAN, progress: () => {} };
const MINUTES_MS = 400_000;

it.each([
  [1, 1, '0.20'],
  // While one of two starts again the other spends: on a busy machine for long, and there must be enough left for the next kill.
  [2, 1, '0.40'],
  [1, 2, '0.40'],
])(
  'every promise holds with %i replicas of %i workers while one of them and Postgres are killed',
  async (replicas, workers, budgetUsd) => {
    const row = await attackGrant({ ...SMALL, budgetUsd, gateway: 'tollgate', replicas, workers });
    expect(brokenPromises(row, SMALL_PLAN.length), JSON.stringify(row.strikes)).toEqual([]);
    expect(row.unknown).toBeGreaterThan(0n);
  },
  MINUTES_MS,
);
