/** What several tests of the domain start from: the seed's book at one moment, and a small chat completion. */
import type { Operation } from '../../src/domain/operation.ts';
import { RateCards } from '../../src/domain/price.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

export const NOW = Date.parse('2026-11-20T12:00:00Z');
export const seed = readSeed();
export const book = new RateCards(seed.prices, seed.models);

export function operation(changes: Partial<Operation>): Operation {
  return {
    model: 'gpt-4o',
    billable: true,
    inputTokensBound: 1_000,
    beyondText: null,
    hosted: null,
    inputAtMostModelMaximum: false,
    outputTokensLimit: 100,
    choices: 1,
    extraOutputTokens: 0,
    serviceTier: null,
    endUser: null,
    kept: null,
    ...changes,
  };
}
