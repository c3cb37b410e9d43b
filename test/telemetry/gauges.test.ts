import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { gauges, installation, ours, parse } from './reading.ts';

describe('the gauges', () => {
  it('are read anew at each scrape', async () => {
    const metrics = createMetrics({ version: '1' });
    const team = { team: 'research', leasedPicoUsd: 3n * 10n ** 12n };
    let heldPicoUsd = 10n ** 12n;
    metrics.readGaugesFrom(() => gauges({ teams: [{ ...team, heldPicoUsd }] }));
    const first = parse(ours(await metrics.render()));
    expect(first.get('tollgate_held_usd{team="research"}')).toBe(1);
    expect(first.get('tollgate_leased_usd{team="research"}')).toBe(3);
    expect(first.get('tollgate_flush_backlog_events')).toBe(9);
    heldPicoUsd = 0n;
    const second = parse(ours(await metrics.render()));
    expect(second.get('tollgate_held_usd{team="research"}')).toBe(0);
  });

  it('add up for the teams that share a label', async () => {
    const metrics = createMetrics({ version: '1', teamCap: 1 });
    const teams = ['a', 'b', 'c'].map((team) => ({ team, heldPicoUsd: 10n ** 12n, leasedPicoUsd: 0n }));
    metrics.readGaugesFrom(() => gauges({ teams }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_held_usd{team="a"}')).toBe(1);
    expect(values.get('tollgate_held_usd{team="other"}')).toBe(2);
  });

  it('show of a budget what is known: one that never ends has no end, one without spending no forecast', async () => {
    const metrics = createMetrics({ version: '1' });
    const known = { team: 'a', amount: 2n * 10n ** 12n, remaining: 10n ** 12n, exhaustedInSeconds: 90.5 };
    const nothing = { exhaustedInSeconds: null, endsAtMs: null, grantExpiresAtMs: null };
    const budgets = [
      { ...known, endsAtMs: 1_500, grantExpiresAtMs: 2_500 },
      { ...known, team: 'b', ...nothing },
    ];
    metrics.readGaugesFrom(() => gauges({ installation: installation({ budgets }) }));
    const values = parse(ours(await metrics.render()));
    const read = (team: string) =>
      [
        'budget_usd',
        'remaining_usd',
        'exhaustion_seconds',
        'budget_ends_timestamp_seconds',
        'grant_expiry_timestamp_seconds',
      ].map((name) => values.get(`tollgate_${name}{team="${team}"}`));
    expect(read('a')).toEqual([2, 1, 90.5, 1.5, 2.5]);
    expect(read('b')).toEqual([2, 1, undefined, undefined, undefined]);
  });

  it('show what a team spent beyond a limit, and nothing of who did not', async () => {
    const metrics = createMetrics({ version: '1' });
    const overLimits = [{ team: 'a', excess: 15n * 10n ** 11n }];
    metrics.readGaugesFrom(() => gauges({ installation: installation({ overLimits }) }));
    const page = ours(await metrics.render());
    expect(page.match(/^tollgate_over_limit_usd.*$/gm)).toEqual(['tollgate_over_limit_usd{team="a"} 1.5']);
  });

  it('say nothing of the installation while Postgres has not been heard', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.readGaugesFrom(() => gauges({ postgresUp: false }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_postgres_up')).toBe(0);
    expect(values.has('tollgate_unresolved_usd')).toBe(false);
  });
});
