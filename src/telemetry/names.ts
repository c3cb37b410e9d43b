/**
 * Every metric that Tollgate exposes, in one file: name, type, labels, meaning. docs/METRICS.md lists the same (held equal by a test).
 * Prometheus' rules apply: prefix `tollgate_`, base units, `_total` last on counters, and bounded labels only: never a key or a user.
 */

/**
 * How the values of several workers become the one of the page: `sum`, `max`, `min`, or `first` for what describes the
 * whole installation, which each of them reads alike from Postgres. Counters and histograms add up.
 */
export type MergeRule = 'sum' | 'max' | 'min' | 'first';

type MetricName = { labels: readonly string[]; help: string } & (
  | { type: 'counter' | 'histogram' }
  | { type: 'gauge'; merge: MergeRule }
);

export const METRICS = {
  tollgate_build_info: {
    type: 'gauge',
    merge: 'max',
    labels: ['version', 'node'],
    help: 'Always 1; the labels are the versions of Tollgate and Node.',
  },
  tollgate_requests_total: {
    type: 'counter',
    labels: ['operation', 'outcome'],
    help: 'Requests on /v1 by outcome: settled, voided, unknown, denied (a limit said no) or error.',
  },
  tollgate_denials_total: {
    type: 'counter',
    labels: ['code'],
    help: 'Requests that a limit denied, by error code.',
  },
  tollgate_errors_total: {
    type: 'counter',
    labels: ['code'],
    help: 'Requests that ended in an error of Tollgate that is no denial, by error code.',
  },
  tollgate_calls_total: { type: 'counter', labels: ['team'], help: 'Calls forwarded to the upstream.' },
  tollgate_reservations_total: {
    type: 'counter',
    labels: ['waited'],
    help: 'Calls whose money was reserved: at once from a lease in memory, or after waiting.',
  },
  tollgate_team_tokens_total: {
    type: 'counter',
    labels: ['team', 'type'],
    help: 'Tokens used; the types do not overlap.',
  },
  tollgate_model_tokens_total: {
    type: 'counter',
    labels: ['model', 'type'],
    help: 'Tokens used; the types do not overlap.',
  },
  tollgate_cost_usd_total: {
    type: 'counter',
    labels: ['team'],
    help: 'Charges of calls, including unknown outcomes at their hold.',
  },
  tollgate_model_cost_usd_total: {
    type: 'counter',
    labels: ['model'],
    help: 'Charges of calls, including unknown outcomes at their hold.',
  },
  tollgate_unknown_usd_total: {
    type: 'counter',
    labels: ['team'],
    help: 'Part of the cost charged at the hold because the outcome is unknown.',
  },
  tollgate_overrun_usd_total: {
    type: 'counter',
    labels: [],
    help: 'Cost above the hold of its call; should stay 0.',
  },
  tollgate_output_cut_total: {
    type: 'counter',
    labels: [],
    help: 'Responses that ended at the output limit that Tollgate wrote into their request.',
  },
  tollgate_sdk_retries_total: {
    type: 'counter',
    labels: ['operation'],
    help: 'Requests that an SDK marks as a retry.',
  },
  tollgate_upstream_errors_total: {
    type: 'counter',
    labels: ['kind'],
    help: 'Forwarded calls with an error of the upstream.',
  },
  tollgate_upstream_limits: {
    type: 'gauge',
    merge: 'max',
    labels: ['state'],
    help: 'Operations of models by whether a compatible upstream keeps their output limit: kept, ignored or unknown.',
  },
  tollgate_upstream_calls_total: {
    type: 'counter',
    labels: ['upstream', 'outcome'],
    help: 'Calls that were sent to each of several upstreams, by outcome.',
  },
  tollgate_upstream_cost_usd_total: {
    type: 'counter',
    labels: ['upstream'],
    help: 'Charges of calls by the upstream that they went to, of several.',
  },
  tollgate_upstream_moved_calls_total: {
    type: 'counter',
    labels: ['upstream'],
    help: 'Calls that failed at the upstream at no cost and were sent to another one.',
  },
  tollgate_upstream_up: {
    type: 'gauge',
    merge: 'min',
    labels: ['upstream'],
    help: 'Whether new calls go to the upstream; 0: three in a row failed.',
  },
  tollgate_upstream_first_byte_seconds: {
    type: 'gauge',
    merge: 'max',
    labels: ['upstream'],
    help: 'From sending a call to the upstream to its first byte, on average of the last ones.',
  },
  tollgate_call_duration_seconds: {
    type: 'histogram',
    labels: ['operation'],
    help: 'Forwarded calls from the first byte of the request to the last of the response.',
  },
  tollgate_stage_duration_seconds: {
    type: 'histogram',
    labels: ['stage'],
    help: 'Time that calls spend in each stage.',
  },
  tollgate_time_to_first_byte_seconds: {
    type: 'histogram',
    labels: ['model'],
    help: 'From sending the call upstream to the first byte of the response.',
  },
  tollgate_output_tokens_per_second: {
    type: 'histogram',
    labels: ['model'],
    help: 'Speed of streams: output tokens over the time from the first byte of the response to its last.',
  },
  tollgate_held_usd: {
    type: 'gauge',
    merge: 'sum',
    labels: ['team'],
    help: 'Held by calls in flight on this instance.',
  },
  tollgate_leased_usd: {
    type: 'gauge',
    merge: 'sum',
    labels: ['team'],
    help: 'Lent by the counters to this instance.',
  },
  tollgate_budget_usd: {
    type: 'gauge',
    merge: 'first',
    labels: ['team'],
    help: "Amount of the team's tightest budget: its grants together, or a cost limit of the team.",
  },
  tollgate_remaining_usd: {
    type: 'gauge',
    merge: 'first',
    labels: ['team'],
    help: 'What the tightest budget has left; money that calls hold is not subtracted.',
  },
  tollgate_exhaustion_seconds: {
    type: 'gauge',
    merge: 'first',
    labels: ['team'],
    help: 'Time until the tightest budget is spent, at the rate of the last hour.',
  },
  tollgate_budget_ends_timestamp_seconds: {
    type: 'gauge',
    merge: 'first',
    labels: ['team'],
    help: 'When the tightest budget ends: its window or its last grant, in Unix time.',
  },
  tollgate_grant_expiry_timestamp_seconds: {
    type: 'gauge',
    merge: 'first',
    labels: ['team'],
    help: "When the first of the team's grants with money left expires, in Unix time.",
  },
  tollgate_over_limit_usd: {
    type: 'gauge',
    merge: 'first',
    labels: ['team'],
    help: 'The most that the team has spent beyond one of its cost limits in its window: a soft one, or one that was lowered.',
  },
  tollgate_unresolved_usd: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'Charges of calls whose outcome is still unknown.',
  },
  tollgate_in_flight_calls: { type: 'gauge', merge: 'sum', labels: [], help: 'Calls being forwarded.' },
  tollgate_open_sessions: { type: 'gauge', merge: 'sum', labels: [], help: 'Open WebSockets of clients.' },
  tollgate_waiting_calls: {
    type: 'gauge',
    merge: 'sum',
    labels: [],
    help: 'Calls waiting for money that other calls hold.',
  },
  tollgate_breakers_open: {
    type: 'gauge',
    merge: 'max',
    labels: ['scope'],
    help: 'Circuits of the breaker that are open: of teams, and of the upstream as a whole.',
  },
  tollgate_upstream_connections: {
    type: 'gauge',
    merge: 'sum',
    labels: [],
    help: 'Connections to the upstream that calls use.',
  },
  tollgate_upstream_connections_max: {
    type: 'gauge',
    merge: 'sum',
    labels: [],
    help: 'Connections to the upstream that calls may use; a team alone gets half of them.',
  },
  tollgate_upstream_waiting_calls: {
    type: 'gauge',
    merge: 'sum',
    labels: [],
    help: 'Calls waiting for a connection to the upstream.',
  },
  tollgate_journal_pending_bytes: {
    type: 'gauge',
    merge: 'sum',
    labels: [],
    help: 'Journal bytes that are not written yet.',
  },
  tollgate_flush_backlog_events: {
    type: 'gauge',
    merge: 'sum',
    labels: [],
    help: 'Usage events not yet flushed to Postgres.',
  },
  tollgate_flush_lag_seconds: {
    type: 'gauge',
    merge: 'max',
    labels: [],
    help: 'Age of the oldest usage event that is not in Postgres, counted from its admission.',
  },
  tollgate_journal_sync_lag_seconds: {
    type: 'gauge',
    merge: 'max',
    labels: [],
    help: 'Age of the oldest journal bytes that were written and may not be on the disk.',
  },
  tollgate_ledger_work_seconds: {
    type: 'histogram',
    labels: ['work'],
    help: "How long Postgres takes for the ledger's work, including failures.",
  },
  tollgate_ledger_work_failures_total: {
    type: 'counter',
    labels: ['work'],
    help: "Failures of the ledger's work at Postgres; each is tried again.",
  },
  tollgate_unpartitioned_events: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'Usage events outside of every monthly partition; should stay 0.',
  },
  tollgate_quarantined_events: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'Usage events that Postgres refused and that were set aside; should stay 0.',
  },
  tollgate_tag_values_used_ratio: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'Values of a tag that a team has open, as a part of those that it may: the highest of all teams and tags.',
  },
  tollgate_jobs: {
    type: 'gauge',
    merge: 'first',
    labels: ['state'],
    help: 'Training jobs, batches and background responses that have not ended: `asked`, the upstream has not named it yet, or `running`.',
  },
  tollgate_jobs_held_usd: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'What jobs that have not ended hold.',
  },
  tollgate_oldest_job_seconds: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'Age of the oldest job that has not ended; 0 if there is none.',
  },
  tollgate_archive_waiting_months: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'Months of usage events that are old enough to be archived and are not; GET /admin/v1/archive says why.',
  },
  tollgate_postgres_up: {
    type: 'gauge',
    merge: 'min',
    labels: [],
    help: 'Whether Postgres responded to this instance within the last seconds: 1 or 0.',
  },
  tollgate_postgres_round_trip_seconds: {
    type: 'gauge',
    merge: 'first',
    labels: [],
    help: 'How long Postgres took for a trivial query.',
  },
  tollgate_postgres_connections: {
    type: 'gauge',
    merge: 'first',
    labels: ['state'],
    help: "Tollgate's connections to Postgres, of all instances.",
  },
  tollgate_reconciliation_unexplained_usd: {
    type: 'gauge',
    merge: 'first',
    labels: ['state'],
    help: 'The most that is unexplained, and not posted, of the bill of one day among the last 31: of days that are `final`, or still `moving`.',
  },
  tollgate_reconcile_last_run_timestamp_seconds: {
    type: 'gauge',
    merge: 'max',
    labels: [],
    help: 'When this instance last finished a reconciliation, in Unix time; missing before the first.',
  },
  tollgate_reconcile_released_usd_total: {
    type: 'counter',
    labels: [],
    help: "Charges of unknown outcomes released by the evidence of the upstream's usage report.",
  },
  tollgate_input_counts_total: {
    type: 'counter',
    labels: ['by'],
    help: 'Inputs that were counted because their bytes would have held much of what was left: `encoding` here, `upstream` there.',
  },
  tollgate_anchor_breaks_total: {
    type: 'counter',
    labels: [],
    help: 'Inputs that cost more than counts said: their model is bound by bytes for an hour.',
  },
  tollgate_put_backs_total: {
    type: 'counter',
    labels: [],
    help: 'How often this instance put back what Postgres had forgotten: after a fail-over or a restore.',
  },
  tollgate_contents_total: { type: 'counter', labels: ['outcome'], help: 'Contents kept, or why not.' },
  tollgate_warnings_total: {
    type: 'counter',
    labels: ['threshold'],
    help: 'Warnings that this instance raised, by the percentage of the amount.',
  },
  tollgate_webhook_deliveries_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Attempts of this instance to send a warning: delivered, failed (tried again) or given_up.',
  },
  tollgate_notice_deliveries_total: {
    type: 'counter',
    labels: ['channel', 'outcome'],
    help: 'Attempts of this instance to send a notice, by how the recipient is reached: delivered, failed (tried again) or given_up.',
  },
  tollgate_upstream_webhooks_total: {
    type: 'counter',
    labels: ['kind', 'outcome'],
    help: 'Webhooks of upstreams by the kind of their job and what came of them: due (it is looked at now), no_job, refused or failed.',
  },
  tollgate_log_lines_dropped_total: {
    type: 'counter',
    labels: [],
    help: 'Log lines dropped because their reader is too slow.',
  },
  tollgate_workers: {
    type: 'gauge',
    merge: 'max',
    labels: [],
    help: 'Worker processes that this gateway is set to run.',
  },
  tollgate_workers_reporting: {
    type: 'gauge',
    merge: 'sum',
    labels: [],
    help: 'Workers with present values on the page; of the others it has the counters of their last report.',
  },
  tollgate_worker_restarts_total: {
    type: 'counter',
    labels: [],
    help: 'Workers that were restarted after an unexpected end.',
  },
} as const satisfies Record<string, MetricName>;

export type MetricKey = keyof typeof METRICS;
