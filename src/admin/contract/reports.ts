/** What people read of the ledger as sums: balance, overview and the warnings of budgets; and what there is of operations and upstreams. */
import { z } from 'zod';
import { OUTCOMES } from '../../domain/outcome.ts';
import { CLIENT_GONE, HEALTH_STATES, PROFILES } from '../../domain/upstream.ts';
import {
  id,
  instant,
  moment,
  money,
  page,
  pageQuery,
  teamId,
  timeZone,
  tokenCount,
  window,
} from './fields.ts';
import { raiseStates } from './raises.ts';
import { enforcement, meter, subject } from './resources.ts';

export const Balance = z
  .strictObject({
    team_id: id,
    granted_usd: money,
    settled_usd: money,
    held_usd: money.meta({ description: 'What calls in flight hold, without leases' }),
    remaining_usd: money.nullable().meta({
      description: 'Amount less settled of the usable grants; null: the team never had a grant',
    }),
    unknown_usd: money.meta({
      description: 'Charged for calls whose outcome is unknown; part of settled_usd',
    }),
    grants: z.array(
      z.strictObject({
        id,
        name: z.string().nullable(),
        amount_usd: money,
        settled_usd: money,
        held_usd: money,
        remaining_usd: money.meta({ description: '0 before it starts and once it expired' }),
        starts_at: instant,
        expires_at: instant.nullable(),
        max_unknown_usd: money.nullable(),
      }),
    ),
    limits: z.array(
      z.strictObject({
        id,
        name: z.string().nullable(),
        subject,
        models: z.array(z.string()).nullable(),
        meter,
        enforcement,
        amount: money.meta({ description: "In the meter's unit, as are settled, held and remaining" }),
        settled: money,
        held: money,
        remaining: money,
        raises: raiseStates,
        over_limit_usd: money.meta({
          description: "What is settled or held beyond a lowered amount, or a soft one; in the meter's unit",
        }),
        window,
        window_starts_at: instant.nullable().meta({ description: 'Null: lifetime' }),
        resets_at: instant.nullable().meta({ description: 'Null: never' }),
      }),
    ),
  })
  .meta({ id: 'Balance' });

const TEAMS_MAX = 100;

export const OverviewQuery = z.strictObject({
  team_id: teamId.optional(),
  team_ids: z
    .string()
    .max(TEAMS_MAX * 40)
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(teamId).max(TEAMS_MAX))
    .optional()
    .meta({ description: `Comma-separated: these teams alone, at most ${TEAMS_MAX}` }),
  time_zone: timeZone.default('UTC').meta({ description: 'Time zone in which days and months begin' }),
});

export const Overview = z
  .strictObject({
    month_to_date_usd: money,
    previous_month_usd: money,
    today_usd: money,
    forecast_month_usd: money.meta({
      description: 'The whole month, at the rate of the last seven days',
    }),
    remaining_usd: money.nullable().meta({
      description:
        'For one team: what its tightest cost budget has left. For several: what their grants together have left. Null: unbounded',
    }),
    unknown_usd: money,
    calls_today: tokenCount,
    denied_today: tokenCount.meta({ description: 'Calls that a limit denied' }),
    errors_today: tokenCount.meta({ description: 'Calls that ended in any other error of Tollgate' }),
    exhausts_at: instant
      .nullable()
      .meta({ description: 'When the first of the teams below runs out of money' }),
    teams: z
      .array(
        z.strictObject({
          id,
          name: z.string(),
          spent_month_usd: money,
          remaining_usd: money.nullable().meta({ description: 'What the tightest cost budget has left' }),
          exhausts_at: instant.nullable().meta({
            description:
              'At the rate of the last seven days; null: not before its window ends, or nothing is spent, or it is unbounded',
          }),
          tightest: z
            .strictObject({
              source: z.enum(['limit', 'grant']),
              id,
              used_ratio: z.number().meta({ description: 'Of its amount; 1 is all' }),
              resets_at: instant.nullable(),
            })
            .nullable(),
        }),
      )
      .meta({
        description: 'The teams that spent most this month, at most twenty; or those of the query',
      }),
  })
  .meta({ id: 'Overview' });

export const WarningsQuery = pageQuery.extend({ team_id: teamId.optional() });

export const Warning = z
  .strictObject({
    id: id.meta({ description: 'Also the id of its webhook' }),
    team_id: id.nullable().meta({ description: 'Null: the whole installation' }),
    limit_id: id.nullable(),
    grant_id: id.nullable(),
    name: z.string().nullable().meta({ description: 'Of the limit or grant; null: it has none' }),
    subject,
    meter,
    threshold: z.int().meta({ description: 'Percent of the amount' }),
    amount: money,
    settled: money.meta({ description: 'When the warning was raised' }),
    denied: z.boolean().meta({ description: 'Raised by a call that the budget denied' }),
    resets_at: instant.nullable().meta({ description: 'End of the window, or of the grant; null: never' }),
    raised_at: instant,
    delivery: z.enum(['none', 'pending', 'delivered', 'given_up']),
    attempts: z.int(),
    problem: z.string().nullable().meta({ description: 'Why the last attempt failed' }),
    delivered_at: instant.nullable(),
  })
  .meta({ id: 'Warning' });
export const Warnings = page(Warning);

export const OperationsQuery = z.strictObject({
  team_id: id.optional().meta({ description: 'They are the same for every team' }),
});
export const Operations = z
  .strictObject({
    data: z.array(
      z.strictObject({
        name: z.string().meta({ description: 'As in events and metrics' }),
        method: z.string(),
        path: z.string(),
        class: z.enum(['metered', 'free', 'job', 'refused']),
        reason: z.string().nullable().meta({ description: 'Why it is refused; null: it is not' }),
      }),
    ),
  })
  .meta({ id: 'Operations' });

const limits = z.array(
  z.strictObject({
    operation: z.string(),
    model: z.string(),
    state: z.enum(['kept', 'ignored', 'unknown']),
    reason: z.string(),
    probed_at: instant.nullable().meta({ description: 'Null: not yet' }),
  }),
);

export const UpstreamState = z
  .strictObject({
    profile: z.enum(PROFILES),
    on_client_gone: z
      .enum(CLIENT_GONE)
      .meta({ description: 'Of calls of teams that have no setting of their own' }),
    max_output_tokens: z.int().nullable().meta({ description: 'TOLLGATE_UPSTREAM_MAX_OUTPUT_TOKENS' }),
    has_tokenizer: z.boolean().meta({ description: 'The text of responses is counted by a tokeniser' }),
    limits: limits.meta({
      description: 'As seen by the instance that responds; empty for the profile openai, which is trusted',
    }),
  })
  .meta({ id: 'UpstreamState' });

export const UpstreamListQuery = z.strictObject({ team_id: teamId.optional() });

export const UpstreamList = z
  .strictObject({
    data: z
      .array(
        z.strictObject({
          name: z.string(),
          kind: z.string(),
          base_url: z.string(),
          models: z.array(z.string()).nullable().meta({ description: 'Patterns; null: all models' }),
          model_names: z.record(z.string(), z.string()).meta({ description: 'Names of models there' }),
          teams: z.array(z.string()).nullable().meta({
            description: 'Those within reach that it serves, as the file names them; null: all teams',
          }),
          weight: z.int(),
          price_percent: z.int().meta({ description: 'What it bills of the price list' }),
          state: z
            .enum(HEALTH_STATES)
            .meta({ description: 'down: three calls in a row failed, so that new ones go elsewhere' }),
          breaker_open: z.boolean().meta({ description: 'Calls of all teams go one at a time' }),
          teams_with_open_breaker: z.int(),
          first_byte_ms: z
            .int()
            .nullable()
            .meta({ description: 'From sending a call to its first byte, on average; null: not known' }),
          waiting_calls: z.int().meta({ description: 'Calls that wait for their first byte' }),
          connections: z.int(),
          connections_max: z.int(),
          calls: z.record(z.enum(OUTCOMES), z.int()).meta({
            description:
              'Of the teams within reach, since the instance started or the settings of the upstream changed',
          }),
          moved_calls: z.int().meta({ description: 'Sent elsewhere after they failed here at no cost' }),
          cost_usd: money.meta({ description: 'Charged for these calls' }),
          limits: limits.meta({ description: 'Which output limits it keeps; empty: it is trusted' }),
        }),
      )
      .meta({ description: 'As seen by the instance that responds; empty: there is one upstream' }),
  })
  .meta({ id: 'UpstreamList' });

const DAY_MS = 86_400_000;

/** Charges are summed by UTC day, so a range is made of whole days. */
const utcDay = moment
  .refine((text) => Date.parse(text) % DAY_MS === 0, { error: 'must be where a UTC day begins' })
  .meta({ description: 'Where a UTC day begins; a date alone does', example: '2026-11-01' });

export const FocusQuery = z
  .strictObject({
    team_id: teamId.optional(),
    from: utcDay,
    to: utcDay.meta({ description: 'Exclusive' }),
  })
  .refine(({ from, to }) => Date.parse(from) < Date.parse(to), { path: ['to'], error: 'must be after from' });

export const StatementQuery = z.strictObject({
  month: z
    .string()
    .regex(/^2\d{3}-(0[1-9]|1[0-2])$/, { error: 'must be a month, such as "2026-11"' })
    .meta({ description: 'In UTC', example: '2026-11' }),
  format: z.enum(['html', 'csv']).default('html'),
});

export const DepartmentStatementQuery = StatementQuery.extend({
  team_id: teamId.optional().meta({ description: 'Of this team of it alone' }),
});
