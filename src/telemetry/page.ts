/** Tollgate's own metrics on the page for Prometheus, with their series, in a fixed order. */
import { toFloatUsd } from '../domain/money.ts';
import { type Family, familyOf, type Point } from './exposition.ts';
import type { BudgetGauge, Gauges, InstallationGauges, UpstreamGauge } from './measurement.ts';
import type { MetricKey } from './names.ts';
import { type AllSeries, Sample } from './series.ts';

/** Everything that was recorded. */
export function counterFamilies(series: AllSeries): Family[] {
  const teams = [...series.teams.values()];
  const models = [...series.models.values()];
  const operations = [...series.operations.values()];
  const ledgerWork = [...series.ledgerWork.values()];
  return [
    familyOf('tollgate_build_info', [series.buildInfo]),
    familyOfRows('tollgate_requests_total', operations, (operation) => Object.values(operation.requests)),
    familyOf('tollgate_denials_total', series.denials.values()),
    familyOf('tollgate_errors_total', series.errors.values()),
    familyOfRows('tollgate_calls_total', teams, (team) => [team.calls]),
    familyOf('tollgate_reservations_total', Object.values(series.reservations)),
    familyOfRows('tollgate_team_tokens_total', teams, (team) => team.tokens),
    familyOfRows('tollgate_model_tokens_total', models, (model) => model.tokens),
    familyOfRows('tollgate_cost_usd_total', teams, (team) => [team.cost]),
    familyOfRows('tollgate_model_cost_usd_total', models, (model) => [model.cost]),
    familyOfRows('tollgate_unknown_usd_total', teams, (team) => [team.unknown]),
    familyOf('tollgate_overrun_usd_total', [series.overrun]),
    familyOf('tollgate_output_cut_total', [series.outputCut]),
    familyOfRows('tollgate_sdk_retries_total', operations, (operation) => [operation.retries]),
    familyOf('tollgate_upstream_errors_total', series.upstreamErrors.values()),
    familyOfRows('tollgate_call_duration_seconds', operations, (operation) => [operation.duration]),
    familyOf('tollgate_stage_duration_seconds', series.stages),
    familyOfRows('tollgate_time_to_first_byte_seconds', models, (model) => [model.firstByte]),
    familyOfRows('tollgate_output_tokens_per_second', models, (model) => [model.speed]),
    familyOfRows('tollgate_ledger_work_seconds', ledgerWork, (work) => [work.duration]),
    familyOfRows('tollgate_ledger_work_failures_total', ledgerWork, (work) => [work.failures]),
    // Missing before the first run: a 0 would mean 1970.
    familyOf(
      'tollgate_reconcile_last_run_timestamp_seconds',
      series.reconcileRun.value === 0 ? [] : [series.reconcileRun],
    ),
    familyOf('tollgate_reconcile_released_usd_total', [series.released]),
    familyOf('tollgate_input_counts_total', Object.values(series.inputCounts)),
    familyOf('tollgate_anchor_breaks_total', [series.anchorBreaks]),
    familyOf('tollgate_put_backs_total', [series.putBacks]),
    familyOf('tollgate_contents_total', series.contents.values()),
    familyOf('tollgate_warnings_total', series.warnings.values()),
    familyOf('tollgate_webhook_deliveries_total', Object.values(series.deliveries)),
    familyOf(
      'tollgate_notice_deliveries_total',
      Object.values(series.noticeDeliveries).flatMap(Object.values),
    ),
    familyOf('tollgate_upstream_webhooks_total', series.upstreamWebhooks.values()),
    familyOf('tollgate_log_lines_dropped_total', [series.droppedLogLines]),
    ...workerFamilies({ set: 1, reporting: 1, restarts: 0 }),
  ];
}

/** How many workers there are; a process that is the whole gateway is the one worker. */
export function workerFamilies(workers: { set: number; reporting: number; restarts: number }): Family[] {
  return [
    gaugeFamily('tollgate_workers', workers.set),
    gaugeFamily('tollgate_workers_reporting', workers.reporting),
    gaugeFamily('tollgate_worker_restarts_total', workers.restarts),
  ];
}

/** The gauges, with their present values. */
export function gaugeFamilies(series: AllSeries, reading: Gauges): Family[] {
  readTeams(series, reading);
  const teams = [...series.teams.values()];
  return [
    familyOfRows('tollgate_held_usd', teams, (team) => [team.held]),
    familyOfRows('tollgate_leased_usd', teams, (team) => [team.leased]),
    gaugeFamily('tollgate_in_flight_calls', reading.inFlightCalls),
    gaugeFamily('tollgate_open_sessions', reading.openSessions),
    gaugeFamily('tollgate_waiting_calls', reading.waitingCalls),
    familyOf('tollgate_breakers_open', [
      sampleOf('tollgate_breakers_open', ['team'], reading.openBreakers.team),
      sampleOf('tollgate_breakers_open', ['upstream'], reading.openBreakers.upstream),
    ]),
    gaugeFamily('tollgate_upstream_connections', reading.upstreamConnectionsUsed),
    gaugeFamily('tollgate_upstream_connections_max', reading.upstreamConnectionsMax),
    gaugeFamily('tollgate_upstream_waiting_calls', reading.upstreamWaitingCalls),
    gaugeFamily('tollgate_journal_pending_bytes', reading.journalPendingBytes),
    gaugeFamily('tollgate_flush_backlog_events', reading.flushBacklogEvents),
    gaugeFamily('tollgate_flush_lag_seconds', reading.flushLagSeconds),
    gaugeFamily('tollgate_journal_sync_lag_seconds', reading.journalSyncLagSeconds),
    gaugeFamily('tollgate_postgres_up', reading.postgresUp ? 1 : 0),
    familyOf(
      'tollgate_upstream_limits',
      Object.entries(reading.upstreamLimits ?? NO_LIMITS).map(([state, count]) =>
        sampleOf('tollgate_upstream_limits', [state], count),
      ),
    ),
    ...upstreamFamilies(reading.upstreams),
    ...(reading.installation === null ? [] : installationFamilies(reading.installation)),
  ];
}

/** None where there is one upstream. */
function upstreamFamilies(upstreams: readonly UpstreamGauge[]): Family[] {
  const family = (name: MetricKey, read: (each: UpstreamGauge) => number | null) =>
    familyOf(
      name,
      upstreams.flatMap((each) => {
        const value = read(each);
        return value === null ? [] : [sampleOf(name, [each.upstream], value)];
      }),
    );
  const calls = upstreams.flatMap((each) =>
    Object.entries(each.calls).map(([outcome, count]) =>
      sampleOf('tollgate_upstream_calls_total', [each.upstream, outcome], count),
    ),
  );
  return [
    familyOf('tollgate_upstream_calls_total', calls),
    family('tollgate_upstream_cost_usd_total', ({ costPicoUsd }) => toFloatUsd(costPicoUsd)),
    family('tollgate_upstream_moved_calls_total', ({ movedCalls }) => movedCalls),
    family('tollgate_upstream_up', ({ isUp }) => (isUp ? 1 : 0)),
    family('tollgate_upstream_first_byte_seconds', ({ firstByteMs }) => toSeconds(firstByteMs)),
  ];
}

const NO_LIMITS = { kept: 0, ignored: 0, unknown: 0 };

function readTeams({ teams }: AllSeries, reading: Gauges): void {
  for (const team of teams.values()) team.held.valuePicoUsd = team.leased.valuePicoUsd = 0n;
  for (const { team, heldPicoUsd, leasedPicoUsd } of reading.teams) {
    const series = teams.get(team);
    // Added, not set: the teams beyond the cap share one series.
    series.held.valuePicoUsd += heldPicoUsd;
    series.leased.valuePicoUsd += leasedPicoUsd;
  }
}

function installationFamilies(reading: InstallationGauges): Family[] {
  const { budgets } = reading;
  return [
    budgetFamily('tollgate_budget_usd', budgets, ({ amount }) => toFloatUsd(amount)),
    budgetFamily('tollgate_remaining_usd', budgets, ({ remaining }) => toFloatUsd(remaining)),
    budgetFamily('tollgate_exhaustion_seconds', budgets, ({ exhaustedInSeconds }) => exhaustedInSeconds),
    budgetFamily('tollgate_budget_ends_timestamp_seconds', budgets, ({ endsAtMs }) => toSeconds(endsAtMs)),
    budgetFamily('tollgate_grant_expiry_timestamp_seconds', budgets, ({ grantExpiresAtMs }) =>
      toSeconds(grantExpiresAtMs),
    ),
    familyOf(
      'tollgate_over_limit_usd',
      reading.overLimits.map(({ team, excess }) =>
        sampleOf('tollgate_over_limit_usd', [team], toFloatUsd(excess)),
      ),
    ),
    gaugeFamily('tollgate_unresolved_usd', toFloatUsd(reading.unresolved)),
    gaugeFamily('tollgate_unpartitioned_events', reading.unpartitionedEvents),
    gaugeFamily('tollgate_quarantined_events', reading.quarantinedEvents),
    gaugeFamily('tollgate_tag_values_used_ratio', reading.tagValuesUsedRatio),
    familyOf(
      'tollgate_jobs',
      (['asked', 'running'] as const).map((state) => sampleOf('tollgate_jobs', [state], reading.jobs[state])),
    ),
    gaugeFamily('tollgate_jobs_held_usd', toFloatUsd(reading.jobs.held)),
    gaugeFamily('tollgate_oldest_job_seconds', reading.jobs.oldestSeconds),
    familyOf(
      'tollgate_reconciliation_unexplained_usd',
      (['final', 'moving'] as const).map((state) =>
        sampleOf('tollgate_reconciliation_unexplained_usd', [state], toFloatUsd(reading.unexplained[state])),
      ),
    ),
    gaugeFamily('tollgate_archive_waiting_months', reading.archiveWaitingMonths),
    gaugeFamily('tollgate_postgres_round_trip_seconds', reading.roundTripSeconds),
    familyOf(
      'tollgate_postgres_connections',
      [...reading.connections].map(([state, count]) =>
        sampleOf('tollgate_postgres_connections', [state], count),
      ),
    ),
  ];
}

/** Made for each page, because the shown budgets and their labels change. */
function budgetFamily(
  name: MetricKey,
  budgets: readonly BudgetGauge[],
  read: (budget: BudgetGauge) => number | null,
): Family {
  const samples = budgets.flatMap((budget) => {
    const value = read(budget);
    return value === null ? [] : [sampleOf(name, [budget.team], value)];
  });
  return familyOf(name, samples);
}

function toSeconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}

type Readable = { read(): Point[] };

function familyOfRows<Row>(name: MetricKey, rows: Row[], pick: (row: Row) => readonly Readable[]): Family {
  return familyOf(name, rows.flatMap(pick));
}

function gaugeFamily(name: MetricKey, value: number): Family {
  return familyOf(name, [sampleOf(name, [], value)]);
}

function sampleOf(name: MetricKey, labels: readonly string[], value: number): Sample {
  const sample = new Sample(name, labels);
  sample.value = value;
  return sample;
}
