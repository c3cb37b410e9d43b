/**
 * A simulated truth: calls that were served or not, each reported in minutes of its life under a name of its model; we
 * know the usage of some. Whatever that truth was, no call keeps less than it cost.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { costOf, type Price } from '../../src/domain/price.ts';
import { boundUnknownCost, type UnknownCall } from '../../src/domain/reconcile.ts';
import {
  type KnownUsage,
  type ReportedQuantities,
  type ReportedUsage,
  UsageReportBound,
} from '../../src/domain/usage-report-bound.ts';
import { seed } from './fixtures.ts';

const SPAN = { firstMinute: 1_000, lastMinute: 1_019 };
const CHARGE = 10n ** 15n;
/** Asked for, answered as, reported as: snapshots, an alias that answers under another model's name, odd words. */
const NAMES = [
  { asked: 'gpt-4o', answered: 'gpt-4o-2024-08-06', reported: 'gpt-4o-2024-08-06' },
  { asked: 'gpt-4o-2024-05-13', answered: 'gpt-4o-2024-05-13', reported: 'gpt-4o' },
  { asked: 'gpt-4o-mini', answered: 'gpt-4o-mini-2024-07-18', reported: 'gpt-4o-mini-2024-07-18' },
  { asked: 'gpt-4o-mini', answered: 'gpt-4o-mini-2024-07-18', reported: 'mini, as billing says' },
  { asked: 'chatgpt-4o-latest', answered: 'gpt-4o-2024-11-20', reported: 'gpt-4o-2024-11-20' },
  { asked: 'chatgpt-4o-latest', answered: 'gpt-4o-mini-2024-07-18', reported: 'gpt-4o-mini-2024-07-18' },
  { asked: 'gpt-5.6-luna', answered: null, reported: null },
];
const prices: Price[] = ['gpt-4o/', 'gpt-5.6-luna/'].flatMap((model) =>
  seed.prices.filter((price) => price.id.startsWith(model) && price.tier === 'default'),
);

interface Call {
  kind: 'known' | 'unknown' | 'estimated' | 'foreign';
  name: (typeof NAMES)[number];
  first: number;
  length: number;
  /** In which minute of its life each half of its usage is reported. */
  places: [number, number];
  served: boolean;
  tokens: ReportedQuantities;
  price: Price;
}

const tokens = fc
  .tuple(
    fc.oneof(fc.nat(3_000), fc.integer({ min: 271_000, max: 300_000 })),
    fc.nat(1_000),
    fc.nat(1_000),
    fc.nat(500),
  )
  .map(([uncached, cached, written, output]) => ({
    input_tokens: uncached + cached + written,
    uncached_input_tokens: uncached,
    cached_input_tokens: cached,
    cache_write_tokens: written,
    output_tokens: output,
  }));
const call = fc.record<Call>({
  kind: fc.constantFrom('known', 'known', 'unknown', 'estimated', 'foreign'),
  name: fc.constantFrom(...NAMES),
  first: fc.nat(19),
  length: fc.nat(4),
  places: fc.tuple(fc.nat(4), fc.nat(4)),
  served: fc.boolean(),
  tokens,
  price: fc.constantFrom(...prices),
});

const lifeOf = ({ first, length }: Call) => ({
  firstMinute: SPAN.firstMinute + first,
  lastMinute: Math.min(SPAN.lastMinute, SPAN.firstMinute + first + length),
});

/** One half here, the other there: nobody promises that a call is reported in one piece. */
function reportOf(call: Call, tellsKinds: boolean): ReportedUsage[] {
  const { firstMinute, lastMinute } = lifeOf(call);
  return call.places.map((place, half) => {
    const share = (count: number) => (half === 0 ? count >> 1 : count - (count >> 1));
    const { tokens } = call;
    const input = share(tokens.input_tokens);
    return {
      minute: Math.min(lastMinute, firstMinute + place),
      model: call.name.reported,
      usage: {
        input_tokens: input,
        uncached_input_tokens: tellsKinds ? share(tokens.uncached_input_tokens) : input,
        cached_input_tokens: tellsKinds ? share(tokens.cached_input_tokens) : input,
        cache_write_tokens: tellsKinds ? share(tokens.cache_write_tokens) : input,
        output_tokens: share(tokens.output_tokens),
      },
    };
  });
}

const wasServed = (call: Call) => call.kind === 'known' || call.kind === 'foreign' || call.served;

function boundOf(calls: readonly Call[], tellsKinds: boolean): UsageReportBound {
  const known = calls
    .filter(({ kind }) => kind === 'known')
    .map((call): KnownUsage => {
      const { asked, answered } = call.name;
      return { ...lifeOf(call), model: asked, responseModel: answered, usage: call.tokens };
    });
  const reported = calls.filter(wasServed).flatMap((call) => reportOf(call, tellsKinds));
  return new UsageReportBound({ span: SPAN, reported, known });
}

function trueCost({ tokens: { uncached_input_tokens: _, ...usage }, price }: Call): bigint {
  return costOf(usage, price)!;
}

const unknownOf = ({ name, price }: Call): UnknownCall => ({
  model: name.asked,
  charged: CHARGE,
  prices: [price],
});

test('no call keeps less than it cost, whatever else happened and however it was reported', () => {
  let released = 0;
  fc.assert(
    fc.property(fc.array(call, { minLength: 2, maxLength: 25 }), fc.boolean(), (calls, tellsKinds) => {
      const evidence = boundOf(calls, tellsKinds);
      for (const one of calls.filter(({ kind }) => kind === 'unknown')) {
        const verdict = boundUnknownCost(unknownOf(one), evidence, lifeOf(one));
        if ('withheld' in verdict) {
          expect(verdict.withheld).toBe('unwitnessed');
          continue;
        }
        if (verdict.kept < CHARGE) released++;
        expect(verdict.kept).toBeGreaterThanOrEqual(one.served ? trueCost(one) : 0n);
      }
    }),
    { numRuns: 2_000 },
  );
  expect(released).toBeGreaterThan(500);
});

test('a call alone with what is unexplained keeps exactly what it cost', () => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 10 }), call, (others, lone) => {
      const known = others.map((other): Call => ({ ...other, kind: 'known' }));
      const witness: Call = {
        ...lone,
        kind: 'known',
        tokens: {
          ...lone.tokens,
          input_tokens: 1,
          uncached_input_tokens: 1,
          cached_input_tokens: 0,
          cache_write_tokens: 0,
        },
      };
      const unknown: Call = { ...lone, kind: 'unknown' };
      const verdict = boundUnknownCost(
        unknownOf(unknown),
        boundOf([...known, witness, unknown], true),
        lifeOf(unknown),
      );
      expect(verdict).toEqual({ kept: lone.served ? trueCost(lone) : 0n });
    }),
  );
});
