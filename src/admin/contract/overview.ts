/** The overview: one look at spending, and how it will go on. */
import { z } from 'zod';
import { id, instant, money, timeZone, tokenCount } from './fields.ts';

const TEAMS_MAX = 100;

export const OverviewQuery = z.strictObject({
  team_id: id.optional(),
  team_ids: z
    .string()
    .max(TEAMS_MAX * 40)
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(id).max(TEAMS_MAX))
    .optional()
    .meta({ description: `Comma-separated: these teams alone, at most ${TEAMS_MAX}` }),
  time_zone: timeZone.default('UTC').meta({ description: 'Whose midnights begin days and months' }),
});

export const Overview = z
  .strictObject({
    month_to_date_usd: money,
    previous_month_usd: money,
    today_usd: money,
    forecast_month_usd: money.meta({
      description: 'The month at its end, at the pace of the last seven days',
    }),
    remaining_usd: money.nullable().meta({
      description:
        'Of one team: what its tightest budget of cost leaves. Of several: what is left of their grants together. Null: unbounded',
    }),
    unknown_usd: money,
    calls_today: tokenCount,
    denied_today: tokenCount.meta({ description: 'Calls that a limit denied' }),
    errors_today: tokenCount.meta({ description: 'Calls that ended in any other error of Tollgate' }),
    exhausts_at: instant.nullable().meta({ description: 'When the first of the teams below runs out' }),
    teams: z
      .array(
        z.strictObject({
          id,
          name: z.string(),
          spent_month_usd: money,
          remaining_usd: money.nullable().meta({ description: 'What the tightest budget of cost leaves' }),
          exhausts_at: instant.nullable().meta({
            description:
              'At the pace of the last seven days; null: not before its window ends, or nothing is spent, or it is unbounded',
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
        description: 'Those that spent most this month, at most twenty, or those that were asked for',
      }),
  })
  .meta({ id: 'Overview' });
