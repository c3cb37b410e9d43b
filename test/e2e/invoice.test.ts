/** The first promise of the ledger: whatever clients and upstream do, it says what the upstream bills. */
import { expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import {
  billed,
  disagreements,
  readBalance,
  readEvents,
  readMetric,
  says,
  sumOf,
  type UsageEvent,
} from './books.ts';
import { Caller, type Ending, inParallel } from './callers.ts';
import { startStack } from './stack.ts';
import { FAULTS, type PlannedCall, planTraffic } from './traffic.ts';

const SEED = Number(process.env.SEED ?? 1);
const CALLS = 1200;
const CONCURRENCY = 32;

it('the ledger equals the invoice for every call, and only calls with a lost response are unknown', async () => {
  const stack = await startStack({
    simulator: { seed: SEED, profile: { retryAfterMs: 1, slowFirstByteMs: 50, slowChunkMs: 3 } },
    env: { TOLLGATE_UPSTREAM_TIMEOUT_MS: '5000' },
  });
  try {
    const teams = [
      await stack.team({ grantUsd: '500.00' }),
      await stack.team({ limitUsd: '500.00' }),
      await stack.team({ unlimited: true }),
    ];
    const callers = teams.map(({ key }) => new Caller(stack.app.url, key));
    const calls = planTraffic(SEED, CALLS);
    const endings = await inParallel(calls, CONCURRENCY, (call, index) =>
      callers[index % callers.length]!.play(call),
    );
    // A client that left first may have been before the gateway: then its call is in neither book.
    await stack.idle();

    const events = await readEvents(stack);
    const { lines } = stack.simulator.invoice();
    expect(disagreements(events, lines)).toEqual([]);
    expect(events.length).toBeGreaterThanOrEqual(1000);
    expect(new Set(lines.map(({ fault }) => fault))).toEqual(new Set([null, ...FAULTS]));
    // After two unknown outcomes in a row a team's calls are turned away for a while, also those that would be answered.
    const turnedAway =
      (await readMetric(stack, 'tollgate_errors_total')).get('code="upstream_unavailable"') ?? 0;
    let unanswered = 0;
    for (const [index, call] of calls.entries()) {
      const ending = endingOf(call);
      if (ending === 'answered' && endings[index] === 'refused') unanswered++;
      else if (ending !== null) expect(endings[index], JSON.stringify(call)).toBe(ending);
    }
    expect(unanswered).toBeLessThanOrEqual(turnedAway);
    const uncertain = events.filter(({ provenance }) => provenance !== 'reported');
    expect(sumOf(events) - billed(stack)).toBeGreaterThanOrEqual(0n);
    expect(uncertain.length).toBeGreaterThan(50);

    const costMetric = await readMetric(stack, 'tollgate_cost_usd_total');
    const callMetric = await readMetric(stack, 'tollgate_calls_total');
    const tokenMetric = await readMetric(stack, 'tollgate_team_tokens_total');
    for (const [index, { teamId }] of teams.entries()) {
      const own = events.filter(({ team_id }) => team_id === teamId);
      const balance = await readBalance(stack, teamId);
      expect(usd(balance.settled_usd)).toBe(sumOf(own));
      expect(balance.held_usd).toBe('0.00');
      for (const { settled, held } of balance.limits)
        expect([usd(settled), held]).toEqual([sumOf(own), '0.00']);
      const label = `team="team-${index + 1}"`;
      expect(says(costMetric.get(label), sumOf(own)), label).toBe(true);
      expect(callMetric.get(label)).toBe(own.length);
      for (const [type, tokens] of Object.entries(tokensOf(own))) {
        expect(tokenMetric.get(`${label},type="${type}"`), `${label} ${type}`).toBe(tokens);
      }
    }
    const modelMetric = await readMetric(stack, 'tollgate_model_cost_usd_total');
    const ofModels = [...modelMetric.values()].reduce((sum, value) => sum + value, 0);
    expect(says(ofModels, sumOf(events))).toBe(true);
    expect((await readMetric(stack, 'tollgate_overrun_usd_total')).get('')).toBe(0);
  } finally {
    await stack.stop();
  }
}, 90_000);

/** The tokens of events by the metric's types, which are parts of their totals. */
function tokensOf(events: readonly UsageEvent[]): Record<string, number> {
  const sum = (count: (event: UsageEvent) => number) => events.reduce((sum, event) => sum + count(event), 0);
  return {
    input: sum((event) => event.input_tokens - event.cached_input_tokens - event.cache_write_tokens),
    cached_input: sum((event) => event.cached_input_tokens),
    cache_write: sum((event) => event.cache_write_tokens),
    output: sum((event) => event.output_tokens),
  };
}

/** What a patient client must see; null: the fault leaves it open. */
function endingOf({ client, fault, leaves }: PlannedCall): Ending | null {
  if (leaves !== null) return null;
  if (fault === null || fault.startsWith('slow_') || fault === 'gzip') return 'answered';
  // A stream that broke off is an error for the SDKs, and a text like any other for plain HTTP.
  return fault === 'no_usage' || (fault === 'cut_mid_stream' && client === 'raw') ? null : 'refused';
}
