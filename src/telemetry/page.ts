/** The page for Prometheus: every series of ours as text, the families in a fixed order. */
import { familyText, Sample } from './exposition.ts';
import type { Gauges } from './measurement.ts';
import type { MetricKey } from './names.ts';
import type { AllSeries } from './series.ts';

/** Everything that was recorded. */
export function countersText(series: AllSeries): string {
  const teams = [...series.teams.values()];
  const models = [...series.models.values()];
  const operations = [...series.operations.values()];
  return [
    familyText('tollgate_build_info', [series.buildInfo]),
    familyOf('tollgate_requests_total', operations, (operation) => Object.values(operation.requests)),
    familyText('tollgate_denials_total', series.denials.values()),
    familyOf('tollgate_calls_total', teams, (team) => [team.calls]),
    familyOf('tollgate_team_tokens_total', teams, (team) => team.tokens),
    familyOf('tollgate_model_tokens_total', models, (model) => model.tokens),
    familyOf('tollgate_cost_usd_total', teams, (team) => [team.cost]),
    familyOf('tollgate_model_cost_usd_total', models, (model) => [model.cost]),
    familyOf('tollgate_unknown_usd_total', teams, (team) => [team.unknown]),
    familyText('tollgate_overrun_usd_total', [series.overrun]),
    familyText('tollgate_stage_duration_seconds', series.stages),
    familyOf('tollgate_upstream_duration_seconds', operations, (operation) => [operation.upstream]),
    familyOf('tollgate_time_to_first_byte_seconds', models, (model) => [model.firstByte]),
    // A 0 would be 1970: who does not reconcile, or not yet, has no last run.
    familyText(
      'tollgate_reconcile_last_run_timestamp_seconds',
      series.reconcileRun.value === 0 ? [] : [series.reconcileRun],
    ),
    familyText('tollgate_reconcile_released_usd_total', [series.released]),
    familyText('tollgate_log_lines_dropped_total', [series.droppedLogLines]),
  ].join('');
}

/** Everything that is read at this moment. */
export function gaugesText(series: AllSeries, reading: Gauges): string {
  readTeams(series, reading);
  const teams = [...series.teams.values()];
  const bounded = teams.filter((team) => team.bounded);
  return [
    familyOf('tollgate_held_usd', teams, (team) => [team.held]),
    familyOf('tollgate_leased_usd', teams, (team) => [team.leased]),
    familyOf('tollgate_remaining_usd', bounded, (team) => [team.remaining]),
    gaugeText('tollgate_in_flight_calls', reading.inFlightCalls),
    gaugeText('tollgate_waiting_calls', reading.waitingCalls),
    gaugeText('tollgate_journal_pending_bytes', reading.journalPendingBytes),
    gaugeText('tollgate_flush_backlog_events', reading.flushBacklogEvents),
  ].join('');
}

function readTeams({ teams }: AllSeries, reading: Gauges): void {
  for (const team of teams.values()) {
    team.held.valuePicoUsd = team.leased.valuePicoUsd = team.remaining.valuePicoUsd = 0n;
    team.bounded = false;
  }
  for (const { team, heldPicoUsd, leasedPicoUsd, remainingPicoUsd } of reading.teams) {
    const series = teams.get(team);
    // Added, not set: the teams beyond the cap share one series.
    series.held.valuePicoUsd += heldPicoUsd;
    series.leased.valuePicoUsd += leasedPicoUsd;
    if (remainingPicoUsd === null) continue;
    series.remaining.valuePicoUsd += remainingPicoUsd;
    series.bounded = true;
  }
}

type WithText = { text(): string };

function familyOf<Row>(name: MetricKey, rows: Row[], pick: (row: Row) => readonly WithText[]): string {
  return familyText(name, rows.flatMap(pick));
}

function gaugeText(name: MetricKey, value: number): string {
  const sample = new Sample(name);
  sample.value = value;
  return familyText(name, [sample]);
}
