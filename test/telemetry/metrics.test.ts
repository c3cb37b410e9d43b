import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/domain/errors.ts';
import { openMetricsText } from '../../src/telemetry/exposition.ts';
import { TEAM_CAP } from '../../src/telemetry/labels.ts';
import { STAGES } from '../../src/telemetry/measurement.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { METRICS } from '../../src/telemetry/names.ts';
import { programOrSkip } from '../support/programs.ts';
import { call, gauges, installation, ours, parse, seriesOf } from './reading.ts';

const OPERATIONS: string[] = [
  'chat.completions',
  'responses',
  'embeddings',
  'completions',
  'moderations',
  'models.list',
  'models.retrieve',
];

const BUDGET = {
  team: 'a',
  amount: 1n,
  remaining: 1n,
  exhaustedInSeconds: 1,
  endsAtMs: 1,
  grantExpiresAtMs: 1,
};

describe('the metrics of a call', () => {
  it('count it once by operation, team and model', async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    metrics.recordCall(call());
    metrics.recordCall(call({ outcome: 'voided', usage: null, costPicoUsd: 0n, firstByteUs: null }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_requests_total{operation="chat.completions",outcome="settled"}')).toBe(1);
    expect(values.get('tollgate_requests_total{operation="chat.completions",outcome="voided"}')).toBe(1);
    expect(values.get('tollgate_calls_total{team="research"}')).toBe(2);
    expect(values.get('tollgate_cost_usd_total{team="research"}')).toBe(1.25);
    expect(values.get('tollgate_model_cost_usd_total{model="gpt-5-mini"}')).toBe(1.25);
    expect(values.get(`tollgate_build_info{version="1.2.3",node="${process.version}"}`)).toBe(1);
  });

  it('tell whether it waited for its money', async () => {
    const metrics = createMetrics({ version: '1' });
    for (const waited of [false, false, true]) metrics.recordCall(call({ waited }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_reservations_total{waited="no"}')).toBe(2);
    expect(values.get('tollgate_reservations_total{waited="yes"}')).toBe(1);
  });

  it('split its tokens into types that add up to all of them', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordCall(call());
    const values = parse(ours(await metrics.render()));
    for (const name of [
      'tollgate_team_tokens_total{team="research"',
      'tollgate_model_tokens_total{model="gpt-5-mini"',
    ]) {
      const types = ['input', 'cached_input', 'cache_write', 'output'];
      expect(types.map((type) => values.get(`${name},type="${type}"}`))).toEqual([50, 30, 20, 7]);
    }
  });

  it('sum money exactly however small its parts', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordCall(call({ costPicoUsd: 90_000_000n * 10n ** 12n }));
    for (let i = 0; i < 1_000; i++) metrics.recordCall(call({ costPicoUsd: 1n }));
    metrics.recordCall(call({ costPicoUsd: 10n ** 12n - 1_000n }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_cost_usd_total{team="research"}')).toBe(90_000_001);
  });

  it('show what is charged without evidence, and what went over its hold', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordCall(call({ outcome: 'unknown', usage: null, costPicoUsd: 2n * 10n ** 12n }));
    metrics.recordCall(call({ overrunPicoUsd: 5n * 10n ** 11n }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_unknown_usd_total{team="research"}')).toBe(2);
    expect(values.get('tollgate_overrun_usd_total')).toBe(0.5);
  });

  it('put each duration into the cumulative buckets that hold it', async () => {
    const metrics = createMetrics({ version: '1' });
    for (const forward of [100_000, 100_001, 400_000_000]) {
      metrics.recordCall(call({ stageUs: { route: 0, forward } }));
    }
    const values = parse(ours(await metrics.render()));
    const name = (part: string, le = '') =>
      `tollgate_call_duration_seconds_${part}{operation="chat.completions"${le}}`;
    expect(values.get(name('bucket', ',le="0.1"'))).toBe(1);
    expect(values.get(name('bucket', ',le="0.25"'))).toBe(2);
    expect(values.get(name('bucket', ',le="300.0"'))).toBe(2);
    expect(values.get(name('bucket', ',le="+Inf"'))).toBe(3);
    expect(values.get(name('count'))).toBe(3);
    expect(values.get(name('sum'))).toBeCloseTo(400.200001, 9);
    expect(values.get('tollgate_stage_duration_seconds_count{stage="route"}')).toBe(3);
    expect(values.get('tollgate_stage_duration_seconds_count{stage="reserve"}')).toBe(0);
  });

  it('tell how fast a stream wrote, and nothing of an answer that came at once', async () => {
    const metrics = createMetrics({ version: '1' });
    const timing = { firstByteUs: 500_000, upstreamUs: 600_000 };
    metrics.recordCall(call({ ...timing, stream: true }));
    metrics.recordCall(call(timing));
    metrics.recordCall(call({ ...timing, stream: true, usage: null }));
    const values = parse(ours(await metrics.render()));
    const name = (part: string, le = '') =>
      `tollgate_output_tokens_per_second_${part}{model="gpt-5-mini"${le}}`;
    expect(values.get(name('bucket', ',le="40.0"'))).toBe(0);
    expect(values.get(name('bucket', ',le="80.0"'))).toBe(1);
    expect(values.get(name('sum'))).toBe(70);
    expect(values.get(name('count'))).toBe(1);
  });

  it('count what is wrong with the upstream, and what an SDK sent again', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordCall(call({ upstreamError: 'timeout', isRetry: true }));
    metrics.recordError('rate_limit_exceeded', 'chat.completions', true);
    metrics.recordError('unsupported_operation', null, true);
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_upstream_errors_total{kind="timeout"}')).toBe(1);
    expect(values.get('tollgate_upstream_errors_total{kind="failed"}')).toBe(0);
    expect(values.get('tollgate_sdk_retries_total{operation="chat.completions"}')).toBe(2);
    expect(values.get('tollgate_sdk_retries_total{operation="other"}')).toBe(1);
  });

  it('tell how long Postgres took over the ledger’s work, and what failed of it', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordLedgerWork('flush', 4_000, false);
    metrics.recordLedgerWork('flush', 3_000_000, true);
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_ledger_work_seconds_bucket{work="flush",le="0.005"}')).toBe(1);
    expect(values.get('tollgate_ledger_work_seconds_count{work="flush"}')).toBe(2);
    expect(values.get('tollgate_ledger_work_failures_total{work="flush"}')).toBe(1);
    expect(values.get('tollgate_ledger_work_failures_total{work="lease"}')).toBe(0);
  });

  it('cost it less than 2 µs', () => {
    const metrics = createMetrics({ version: '1' });
    const measured = call({ stageUs: Object.fromEntries(STAGES.map((stage) => [stage, 10])) });
    // Of CPU, in the best of many rounds: other work on the machine slows most of them.
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 200 && least >= 2; round++) {
      const before = process.threadCpuUsage();
      for (let i = 0; i < 5000; i++) metrics.recordCall(measured);
      const { user, system } = process.threadCpuUsage(before);
      least = Math.min(least, (user + system) / 5000);
    }
    expect(least).toBeLessThan(2);
  });
});

describe('the metrics of a request that is not forwarded', () => {
  it('tell a denial by a limit from every other error', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordError('insufficient_quota', 'responses', false);
    metrics.recordError('invalid_api_key', 'responses', false);
    metrics.recordError('unsupported_operation', null, false);
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_requests_total{operation="responses",outcome="denied"}')).toBe(1);
    expect(values.get('tollgate_requests_total{operation="responses",outcome="error"}')).toBe(1);
    expect(values.get('tollgate_requests_total{operation="other",outcome="error"}')).toBe(1);
    expect(values.get('tollgate_denials_total{code="insufficient_quota"}')).toBe(1);
    expect(values.get('tollgate_denials_total{code="rate_limit_exceeded"}')).toBe(0);
    expect(values.get('tollgate_errors_total{code="invalid_api_key"}')).toBe(1);
    expect(values.get('tollgate_denials_total{code="invalid_api_key"}')).toBeUndefined();
    expect(values.get('tollgate_errors_total{code="insufficient_quota"}')).toBeUndefined();
  });
});

describe('the page for Prometheus', () => {
  it('stays below 2,000 series whatever teams, models, operations and errors there are', async () => {
    const metrics = createMetrics({ version: '1' });
    for (let i = 0; i < 500; i++) {
      metrics.recordCall(
        call({ team: `team-${i}`, model: `model-${i}`, operation: OPERATIONS[i % OPERATIONS.length]! }),
      );
    }
    for (const code of ERROR_CODES) metrics.recordError(code, null, false);
    const teams = Array.from({ length: 500 }, (_, i) => ({
      team: `team-${i}`,
      heldPicoUsd: 1n,
      leasedPicoUsd: 1n,
    }));
    const budgets = teams.slice(0, TEAM_CAP).map(({ team }) => ({ ...BUDGET, team }));
    const overLimits = budgets.map(({ team }) => ({ team, excess: 1n }));
    metrics.readGaugesFrom(() => gauges({ teams, installation: installation({ budgets, overLimits }) }));
    const page = await metrics.render();
    expect(seriesOf(page).length).toBeLessThan(2_000);
    const values = parse(ours(page));
    expect(values.get('tollgate_calls_total{team="other"}')).toBe(500 - TEAM_CAP);
  });

  it('shows every metric of the catalogue and no other, each with its help and type', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordCall(call());
    metrics.recordReconcileRun(1);
    metrics.recordWarning(80);
    metrics.readGaugesFrom(() =>
      gauges({
        teams: [{ team: 'a', heldPicoUsd: 0n, leasedPicoUsd: 0n }],
        installation: installation({ budgets: [BUDGET], overLimits: [{ team: 'a', excess: 1n }] }),
      }),
    );
    const page = ours(await metrics.render());
    const types = [...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    expect(types.sort()).toEqual(
      Object.entries(METRICS)
        .map(([name, { type }]) => `${name} ${type}`)
        .sort(),
    );
    expect(page.match(/^# HELP \S+ .+$/gm)).toHaveLength(types.length);
  });

  it('shows when a reconciliation ended last, once there was one, and what all of them gave back', async () => {
    const metrics = createMetrics({ version: '1' });
    const names = ['last_run_timestamp_seconds', 'released_usd_total'] as const;
    const read = async () => {
      const values = parse(ours(await metrics.render()));
      return names.map((name) => values.get(`tollgate_reconcile_${name}`));
    };
    expect(await read()).toEqual([undefined, 0]);
    metrics.recordReconcileRun(Date.parse('2026-11-24T10:00:00.500Z'));
    metrics.recordRelease(250_000_000_000n);
    metrics.recordRelease(1_000_000_000_000n);
    expect(await read()).toEqual([Date.parse('2026-11-24T10:00:00.500Z') / 1000, 1.25]);
  });

  it('escapes what a team may be called', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordCall(call({ team: 'the "A" \\ team\n' }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_calls_total{team="the \\"A\\" \\\\ team\\n"}')).toBe(1);
  });
});

describe('the page', () => {
  const promtool = programOrSkip('prometheus', 'promtool');
  const page = async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    metrics.readGaugesFrom(() => gauges({ installation: installation({ budgets: [BUDGET] }) }));
    metrics.recordCall(call());
    return metrics.render();
  };

  it.skipIf(promtool.missing)('has nothing that promtool would name otherwise', async () => {
    const { status, stdout, stderr } = spawnSync(promtool.path, ['check', 'metrics'], {
      input: await page(),
    });
    expect([status, `${stdout}${stderr}`]).toEqual([0, '']);
  });

  it('is OpenMetrics for a scraper that asks for it: counters declared without `_total`, and an end', async () => {
    const text = openMetricsText(await page());
    expect(text.endsWith('\n# EOF\n')).toBe(true);
    expect(text).toContain('# TYPE tollgate_calls counter\n');
    expect(text).toMatch(/^tollgate_calls_total\{team="[^"]*"\} 1$/m);
    expect([...text.matchAll(/^# TYPE \S+_total /gm)]).toEqual([]);
    const helps = [...text.matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name);
    expect(helps).toEqual([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  });

  it('writes bounds of buckets as Prometheus 3 does, so that both versions store the same', async () => {
    const bounds = [...(await page()).matchAll(/le="([^"]+)"/g)].map(([, bound]) => bound!);
    expect(bounds.length).toBeGreaterThan(0);
    expect(bounds.filter((bound) => /^\d+$/.test(bound))).toEqual([]);
  });
});
