/** The part of Operations about Tollgate itself: the ledger and Postgres, the processes. */
import type { DashboardRow } from './layout.ts';
import { series } from './panels.ts';
import { prom } from './queries.ts';

export const INTERNALS: readonly DashboardRow[] = [
  {
    heading: 'Ledger',
    height: 8,
    panels: [
      series({
        title: 'Flush lag',
        description: 'Age of the oldest usage event that is not in Postgres, by instance.',
        unit: 'seconds',
        from: 'prometheus',
        queries: [prom('tollgate_flush_lag_seconds', '{{instance}}')],
      }),
      series({
        title: 'Backlog',
        description: 'Usage events that wait for Postgres, by instance.',
        unit: 'count',
        from: 'prometheus',
        queries: [prom('tollgate_flush_backlog_events', '{{instance}}')],
      }),
      series({
        title: 'Journal',
        description: 'Bytes on their way to the disk, by instance.',
        unit: 'bytes',
        from: 'prometheus',
        queries: [prom('tollgate_journal_pending_bytes', '{{instance}}')],
      }),
    ],
  },
  {
    heading: 'Postgres and the log',
    height: 8,
    panels: [
      series({
        title: 'Postgres round trip',
        description: 'Of a trivial query, by instance.',
        unit: 'seconds',
        from: 'prometheus',
        queries: [prom('tollgate_postgres_round_trip_seconds', '{{instance}}')],
      }),
      series({
        title: 'Connections to Postgres',
        description: 'Of all instances, by what they do.',
        unit: 'count',
        from: 'prometheus',
        look: 'areas',
        queries: [prom('max by (state) (tollgate_postgres_connections)', '{{state}}')],
      }),
      series({
        title: 'Dropped log lines',
        description: 'Dropped because their reader is too slow, by instance.',
        unit: 'perSecond',
        from: 'prometheus',
        queries: [prom('rate(tollgate_log_lines_dropped_total[$__rate_interval])', '{{instance}}')],
      }),
    ],
  },
  {
    heading: 'Processes',
    height: 8,
    panels: [
      series({
        title: 'Event loop lag',
        description: 'By instance, 99 of 100 turns; above a tenth of a second it needs another replica.',
        unit: 'seconds',
        from: 'prometheus',
        queries: [prom('nodejs_eventloop_lag_p99_seconds{job="tollgate"}', '{{instance}}')],
      }),
      series({
        title: 'CPU',
        description: 'Share of one core, by instance.',
        unit: 'share',
        from: 'prometheus',
        queries: [prom('rate(process_cpu_seconds_total{job="tollgate"}[$__rate_interval])', '{{instance}}')],
      }),
      series({
        title: 'Memory',
        description: 'Resident, by instance.',
        unit: 'bytes',
        from: 'prometheus',
        queries: [prom('process_resident_memory_bytes{job="tollgate"}', '{{instance}}')],
      }),
    ],
  },
];
