import { describe, expect, it } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/domain/errors.ts';
import type { OperationName } from '../../src/domain/operation.ts';
import { type CallMeasurement, type Gauges, STAGES } from '../../src/telemetry/measurement.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { METRICS } from '../../src/telemetry/names.ts';

const OPERATIONS: OperationName[] = [
  'chat.completions',
  'responses',
  'embeddings',
  'completions',
  'moderations',
  'models.list',
  'models.retrieve',
];

function call(changes: Partial<CallMeasurement> = {}): CallMeasurement {
  return {
    operation: 'chat.completions',
    outcome: 'settled',
    team: 'research',
    model: 'gpt-5-mini',
    usage: {
      inputTokens: 100,
      cachedInputTokens: 30,
      cacheWriteTokens: 20,
      outputTokens: 7,
      reasoningTokens: 5,
    },
    costPicoUsd: 1_250_000_000_000n,
    overrunPicoUsd: 0n,
    stageUs: { classify: 12, forward: 600_000 },
    firstByteUs: 300_000,
    upstreamUs: 600_000,
    ...changes,
  };
}

function gauges(changes: Partial<Gauges> = {}): Gauges {
  return {
    teams: [],
    inFlightCalls: 3,
    waitingCalls: 2,
    journalPendingBytes: 512,
    flushBacklogEvents: 9,
    ...changes,
  };
}

const seriesOf = (page: string) => page.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

/** The page as Prometheus reads it: value by series. Throws on a line that is not in the format, or there twice. */
function parse(page: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of seriesOf(page)) {
    const match = /^([a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})?) (\S+)$/.exec(line);
    if (!match) throw new Error(`not a series: ${line}`);
    if (values.has(match[1]!)) throw new Error(`twice: ${line}`);
    values.set(match[1]!, Number(match[2]));
  }
  return values;
}

const ours = (page: string) => page.slice(0, page.indexOf('# HELP process_'));

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
    for (const upstreamUs of [100_000, 100_001, 400_000_000]) metrics.recordCall(call({ upstreamUs }));
    const values = parse(ours(await metrics.render()));
    const name = (part: string, le = '') =>
      `tollgate_upstream_duration_seconds_${part}{operation="chat.completions"${le}}`;
    expect(values.get(name('bucket', ',le="0.1"'))).toBe(1);
    expect(values.get(name('bucket', ',le="0.25"'))).toBe(2);
    expect(values.get(name('bucket', ',le="300"'))).toBe(2);
    expect(values.get(name('bucket', ',le="+Inf"'))).toBe(3);
    expect(values.get(name('count'))).toBe(3);
    expect(values.get(name('sum'))).toBeCloseTo(400.200001, 9);
    expect(values.get('tollgate_stage_duration_seconds_count{stage="classify"}')).toBe(3);
    expect(values.get('tollgate_stage_duration_seconds_count{stage="reserve"}')).toBe(0);
  });

  it('cost it less than 2 µs', () => {
    const metrics = createMetrics({ version: '1' });
    const measured = call({ stageUs: Object.fromEntries(STAGES.map((stage) => [stage, 10])) });
    const rounds = Array.from({ length: 10 }, () => {
      const start = performance.now();
      for (let i = 0; i < 20_000; i++) metrics.recordCall(measured);
      return ((performance.now() - start) * 1000) / 20_000;
    });
    expect(Math.min(...rounds)).toBeLessThan(2);
  });
});

describe('the metrics of a request that is not forwarded', () => {
  it('tell a limit that denied it from a fault that refused it', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordDenial('insufficient_quota', 'responses');
    metrics.recordDenial('invalid_api_key', 'responses');
    metrics.recordDenial('unsupported_operation', null);
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_requests_total{operation="responses",outcome="denied"}')).toBe(1);
    expect(values.get('tollgate_requests_total{operation="responses",outcome="refused"}')).toBe(1);
    expect(values.get('tollgate_requests_total{operation="other",outcome="refused"}')).toBe(1);
    expect(values.get('tollgate_denials_total{reason="insufficient_quota"}')).toBe(1);
    expect(values.get('tollgate_denials_total{reason="rate_limit_exceeded"}')).toBe(0);
  });
});

describe('the gauges', () => {
  it('are read anew at each scrape', async () => {
    const metrics = createMetrics({ version: '1' });
    const team = { team: 'research', heldPicoUsd: 10n ** 12n, leasedPicoUsd: 3n * 10n ** 12n };
    let remainingPicoUsd: bigint | null = 15n * 10n ** 12n;
    metrics.readGaugesFrom(() => gauges({ teams: [{ ...team, remainingPicoUsd }] }));
    const first = parse(ours(await metrics.render()));
    expect(first.get('tollgate_held_usd{team="research"}')).toBe(1);
    expect(first.get('tollgate_leased_usd{team="research"}')).toBe(3);
    expect(first.get('tollgate_remaining_usd{team="research"}')).toBe(15);
    expect(first.get('tollgate_flush_backlog_events')).toBe(9);
    remainingPicoUsd = null;
    const second = parse(ours(await metrics.render()));
    expect(second.get('tollgate_held_usd{team="research"}')).toBe(1);
    expect(second.has('tollgate_remaining_usd{team="research"}')).toBe(false);
  });

  it('add up for the teams that share a label', async () => {
    const metrics = createMetrics({ version: '1', teamCap: 1 });
    const teams = ['a', 'b', 'c'].map((team) => ({
      team,
      heldPicoUsd: 10n ** 12n,
      leasedPicoUsd: 0n,
      remainingPicoUsd: null,
    }));
    metrics.readGaugesFrom(() => gauges({ teams }));
    const values = parse(ours(await metrics.render()));
    expect(values.get('tollgate_held_usd{team="a"}')).toBe(1);
    expect(values.get('tollgate_held_usd{team="other"}')).toBe(2);
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
    for (const code of Object.keys(ERRORS) as ErrorCode[]) metrics.recordDenial(code, null);
    const teams = Array.from({ length: 500 }, (_, i) => ({
      team: `team-${i}`,
      heldPicoUsd: 1n,
      leasedPicoUsd: 1n,
      remainingPicoUsd: 1n,
    }));
    metrics.readGaugesFrom(() => gauges({ teams }));
    const page = await metrics.render();
    expect(seriesOf(page).length).toBeLessThan(2_000);
    const values = parse(ours(page));
    expect(values.get('tollgate_calls_total{team="other"}')).toBe(400);
  });

  it('shows every metric of the catalogue and no other, each with its help and type', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.recordCall(call());
    metrics.recordReconcileRun(1);
    metrics.readGaugesFrom(() =>
      gauges({ teams: [{ team: 'a', heldPicoUsd: 0n, leasedPicoUsd: 0n, remainingPicoUsd: 0n }] }),
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
