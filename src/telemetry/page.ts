/** The page for Prometheus: every series of ours as text, the families in a fixed order. */
import { toFloatUsd } from '../domain/money.ts';
import { familyText, Sample } from './exposition.ts';
import type { BudgetGauge, Gauges, InstallationGauges } from './measurement.ts';
import type { MetricKey } from './names.ts';
import type { AllSeries } from './series.ts';

/** Everything that was recorded. */
export function countersText(series: AllSeries): string {
  const teams = [...series.teams.values()];
  const models = [...series.models.values()];
  const operations = [...series.operations.values()];
  const ledgerWork = [...series.ledgerWork.values()];
  return [
    familyText('tollgate_build_info', [series.buildInfo]),
    familyOf('tollgate_requests_total', operations, (operation) => Object.values(operation.requests)),
    familyText('tollgate_denials_total', series.denials.values()),
    familyText('tollgate_errors_total', series.errors.values()),
    familyOf('tollgate_calls_total', teams, (team) => [team.calls]),
    familyText('tollgate_reservations_total', Object.values(series.reservations)),
    familyOf('tollgate_team_tokens_total', teams, (team) => team.tokens),
    familyOf('tollgate_model_tokens_total', models, (model) => model.tokens),
    familyOf('tollgate_cost_usd_total', teams, (team) => [team.cost]),
    familyOf('tollgate_model_cost_usd_total', models, (model) => [model.cost]),
    familyOf('tollgate_unknown_usd_total', teams, (team) => [team.unknown]),
    familyText('tollgate_overrun_usd_total', [series.overrun]),
    familyText('tollgate_output_cut_total', [series.outputCut]),
    familyOf('tollgate_sdk_retries_total', operations, (operation) => [operation.retries]),
    familyText('tollgate_upstream_errors_total', series.upstreamErrors.values()),
    familyOf('tollgate_call_duration_seconds', operations, (operation) => [operation.duration]),
    familyText('tollgate_stage_duration_seconds', series.stages),
    familyOf('tollgate_time_to_first_byte_seconds', models, (model) => [model.firstByte]),
    familyOf('tollgate_output_tokens_per_second', models, (model) => [model.speed]),
    familyOf('tollgate_ledger_work_seconds', ledgerWork, (work) => [work.duration]),
    familyOf('tollgate_ledger_work_failures_total', ledgerWork, (work) => [work.failures]),
    // A 0 would be 1970: who does not reconcile, or not yet, has no last run.
    familyText(
      'tollgate_reconcile_last_run_timestamp_seconds',
      series.reconcileRun.value === 0 ? [] : [series.reconcileRun],
    ),
    familyText('tollgate_reconcile_released_usd_total', [series.released]),
    familyText('tollgate_warnings_total', series.warnings.values()),
    familyText('tollgate_webhook_deliveries_total', Object.values(series.deliveries)),
    familyText('tollgate_log_lines_dropped_total', [series.droppedLogLines]),
  ].join('');
}

/** Everything that is read at this moment. */
export function gaugesText(series: AllSeries, reading: Gauges): string {
  readTeams(series, reading);
  const teams = [...series.teams.values()];
  return [
    familyOf('tollgate_held_usd', teams, (team) => [team.held]),
    familyOf('tollgate_leased_usd', teams, (team) => [team.leased]),
    gaugeText('tollgate_in_flight_calls', reading.inFlightCalls),
    gaugeText('tollgate_waiting_calls', reading.waitingCalls),
    gaugeText('tollgate_journal_pending_bytes', reading.journalPendingBytes),
    gaugeText('tollgate_flush_backlog_events', reading.flushBacklogEvents),
    gaugeText('tollgate_flush_lag_seconds', reading.flushLagSeconds),
    gaugeText('tollgate_journal_sync_lag_seconds', reading.journalSyncLagSeconds),
    gaugeText('tollgate_postgres_up', reading.postgresUp ? 1 : 0),
    reading.installation === null ? '' : installationText(reading.installation),
  ].join('');
}

function readTeams({ teams }: AllSeries, reading: Gauges): void {
  for (const team of teams.values()) team.held.valuePicoUsd = team.leased.valuePicoUsd = 0n;
  for (const { team, heldPicoUsd, leasedPicoUsd } of reading.teams) {
    const series = teams.get(team);
    // Added, not set: the teams beyond the cap share one series.
    series.held.valuePicoUsd += heldPicoUsd;
    series.leased.valuePicoUsd += leasedPicoUsd;
  }
}

function installationText(reading: InstallationGauges): string {
  const { budgets } = reading;
  return [
    budgetText('tollgate_budget_usd', budgets, ({ amount }) => toFloatUsd(amount)),
    budgetText('tollgate_remaining_usd', budgets, ({ remaining }) => toFloatUsd(remaining)),
    budgetText('tollgate_exhaustion_seconds', budgets, ({ exhaustedInSeconds }) => exhaustedInSeconds),
    budgetText('tollgate_budget_ends_timestamp_seconds', budgets, ({ endsAtMs }) => toSeconds(endsAtMs)),
    budgetText('tollgate_grant_expiry_timestamp_seconds', budgets, ({ grantExpiresAtMs }) =>
      toSeconds(grantExpiresAtMs),
    ),
    familyText(
      'tollgate_over_limit_usd',
      reading.overLimits.map(({ team, excess }) =>
        sampleOf('tollgate_over_limit_usd', [team], toFloatUsd(excess)),
      ),
    ),
    gaugeText('tollgate_unresolved_usd', toFloatUsd(reading.unresolved)),
    gaugeText('tollgate_unpartitioned_events', reading.unpartitionedEvents),
    gaugeText('tollgate_postgres_round_trip_seconds', reading.roundTripSeconds),
    familyText(
      'tollgate_postgres_connections',
      [...reading.connections].map(([state, count]) =>
        sampleOf('tollgate_postgres_connections', [state], count),
      ),
    ),
  ].join('');
}

/** Made anew for each page: which budgets are shown changes, and their labels with them. */
function budgetText(
  name: MetricKey,
  budgets: readonly BudgetGauge[],
  read: (budget: BudgetGauge) => number | null,
): string {
  const samples = budgets.flatMap((budget) => {
    const value = read(budget);
    return value === null ? [] : [sampleOf(name, [budget.team], value)];
  });
  return familyText(name, samples);
}

function toSeconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}

type WithText = { text(): string };

function familyOf<Row>(name: MetricKey, rows: Row[], pick: (row: Row) => readonly WithText[]): string {
  return familyText(name, rows.flatMap(pick));
}

function gaugeText(name: MetricKey, value: number): string {
  return familyText(name, [sampleOf(name, [], value)]);
}

function sampleOf(name: MetricKey, labels: readonly string[], value: number): Sample {
  const sample = new Sample(name, labels);
  sample.value = value;
  return sample;
}
