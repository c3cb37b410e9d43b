/** The attack `disobey` in small: the same program as `npm run attack -- --scenario disobey`, with one size of chunks. */
import { expect, it } from 'vitest';
import { brokenDisobeyPromises, runDisobey } from '../../bench/attack/disobey.ts';

const MINUTES_MS = 600_000;

it(
  'an upstream that ignores limits overspends nothing where its probe fails, and a chunk where it can be counted',
  async () => {
    const rows = await runDisobey({ usages: ['never', 'every_chunk'], chunkTokens: [8], progress: () => {} });
    expect(rows.flatMap(brokenDisobeyPromises)).toEqual([]);
    expect(rows).toHaveLength(18);
  },
  MINUTES_MS,
);
