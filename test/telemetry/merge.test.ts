import { describe, expect, it } from 'vitest';
import { pageText } from '../../src/telemetry/exposition.ts';
import { MODEL_CAP, TEAM_CAP } from '../../src/telemetry/labels.ts';
import { MergedMetrics } from '../../src/telemetry/merge.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { call, gauges, installation, parse, seriesOf } from './reading.ts';

const CAPS = { team: TEAM_CAP, model: MODEL_CAP };
const USD = 10n ** 12n;

/** A worker's metrics with so many calls of one team, each at a cost that no float holds exactly. */
function worker(calls: number, team = 'research', changes: Parameters<typeof gauges>[0] = {}) {
  const metrics = createMetrics({ version: '1' });
  for (let i = 0; i < calls; i++) metrics.recordCall(call({ team, costPicoUsd: 100_000_000_001n }));
  metrics.readGaugesFrom(() => gauges(changes));
  return metrics;
}

describe('the merged page', () => {
  it('adds up counters, money exactly, and histograms bucket by bucket', async () => {
    const merged = new MergedMetrics(CAPS);
    const reports = await Promise.all([worker(3), worker(7)].map((metrics) => metrics.families()));
    const values = parse(pageText(merged.merge(reports, [])));
    expect(values.get('tollgate_calls_total{team="research"}')).toBe(10);
    expect(values.get('tollgate_cost_usd_total{team="research"}')).toBe(Number(1_000_000_000_010n) / 1e12);
    const duration = (part: string) =>
      values.get(`tollgate_call_duration_seconds_${part.replace('{', '{operation="chat.completions",')}`);
    expect(duration('bucket{le="0.5"}')).toBe(0);
    expect(duration('bucket{le="1.0"}')).toBe(10);
    expect(values.get('tollgate_call_duration_seconds_count{operation="chat.completions"}')).toBe(10);
  });

  it('adds up, or takes the highest or lowest of, gauges as their meaning needs', async () => {
    const merged = new MergedMetrics(CAPS);
    const one = { inFlightCalls: 3, flushLagSeconds: 0.5, postgresUp: true };
    const two = { inFlightCalls: 4, flushLagSeconds: 0.1, postgresUp: false };
    const reports = await Promise.all([worker(0, 'a', one), worker(0, 'a', two)].map((w) => w.families()));
    const values = parse(pageText(merged.merge(reports, [])));
    expect(values.get('tollgate_in_flight_calls')).toBe(7);
    expect(values.get('tollgate_flush_lag_seconds')).toBe(0.5);
    expect(values.get('tollgate_postgres_up')).toBe(0);
    expect(values.get(`tollgate_build_info{version="1",node="${process.version}"}`)).toBe(1);
    const [first] = reports.map((report) => report.find(({ name }) => name === 'process_cpu_seconds_total'));
    expect(values.get('process_cpu_seconds_total')).toBeGreaterThanOrEqual(Number(first!.points[0]!.value));
  });

  it('shows the state of the installation once, from one worker', async () => {
    const merged = new MergedMetrics(CAPS);
    const seen = (unresolved: bigint) => ({ installation: installation({ unresolved }) });
    const workers = [worker(0, 'a'), worker(0, 'a', seen(2n * USD)), worker(0, 'a', seen(2n * USD))];
    const reports = await Promise.all(workers.map((metrics) => metrics.families()));
    const values = parse(pageText(merged.merge(reports, [])));
    expect(values.get('tollgate_unresolved_usd')).toBe(2);
    expect(values.get('tollgate_postgres_connections{state="active"}')).toBe(1);
  });

  it('keeps the counters of a worker that does not report now, but not its gauges', async () => {
    const merged = new MergedMetrics(CAPS);
    const [here, silent] = await Promise.all([worker(3), worker(7)].map((metrics) => metrics.families()));
    const values = parse(pageText(merged.merge([here!], [silent!])));
    expect(values.get('tollgate_calls_total{team="research"}')).toBe(10);
    expect(values.get('tollgate_in_flight_calls')).toBe(3);
  });

  it('never falls when workers end', async () => {
    const merged = new MergedMetrics(CAPS);
    merged.retire(await worker(5).families());
    merged.retire(await worker(2).families());
    const values = parse(pageText(merged.merge([await worker(1).families()], [])));
    expect(values.get('tollgate_calls_total{team="research"}')).toBe(8);
    expect(values.get('tollgate_in_flight_calls')).toBe(3);
  });

  it('stays below 2,000 series, and a team keeps the series that it has', async () => {
    const merged = new MergedMetrics(CAPS);
    const crowds = [0, 1, 2, 3].map((index) => {
      const metrics = createMetrics({ version: '1' });
      for (let i = 0; i < 100; i++) {
        metrics.recordCall(call({ team: `team-${index}-${i}`, model: `model-${index}-${i}` }));
      }
      return metrics;
    });
    const reports = await Promise.all(crowds.map((metrics) => metrics.families()));
    const first = pageText(merged.merge(reports.slice(0, 2), []));
    expect(seriesOf(first).length).toBeLessThan(2_000);
    const later = pageText(merged.merge(reports.toReversed(), []));
    expect(seriesOf(later).length).toBeLessThan(2_000);
    const teams = (page: string) =>
      [...parse(page).keys()].filter((key) => key.startsWith('tollgate_calls_total'));
    expect(teams(later).sort()).toEqual(teams(first).sort());
    expect(parse(later).get('tollgate_calls_total{team="other"}')).toBe(400 - TEAM_CAP);
  });
});
