/** What people ask of usage, denials and errors, and the sums that they get. */
import { z } from 'zod';
import { TAG_NAME } from '../../domain/tags.ts';
import {
  departmentId,
  id,
  instant,
  keyId,
  moment,
  money,
  quantities,
  teamId,
  timeZone,
  tokenCount,
} from './fields.ts';
import { tagText } from './tags.ts';

function groups<const Names extends readonly string[]>(names: Names) {
  return z
    .string()
    .default('')
    .transform((text) =>
      [...new Set(text.split(',').map((part) => part.trim()))].filter((part) => part !== ''),
    )
    .pipe(z.array(z.enum(names, { error: `must be a comma-separated list of ${names.join(', ')}` })))
    .meta({ description: `Comma-separated: ${names.join(', ')}` });
}

const range = {
  interval: z.enum(['15m', 'hour', 'day', 'week', 'month', 'total']).default('day'),
  time_zone: timeZone.default('UTC'),
  from: moment.optional().meta({ description: 'Rounded down to the quarter of an hour' }),
  to: moment.optional().meta({ description: 'Exclusive, rounded up to the quarter of an hour' }),
};
const shownRange = {
  interval: z.string(),
  time_zone: z.string(),
  from: instant.nullable(),
  to: instant.nullable(),
};

const TOP_MAX = 100;
const top = (by: string) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .max(TOP_MAX)
    .optional()
    .meta({
      description: `Rows of so many groups alone, those that ${by} in the whole range, and in each interval one of all others together`,
    });
const other = z.literal(true).optional().meta({
  description:
    'With `top`: the sum of all groups without a row of their own, so that the rows together are the whole',
});

/** Query of self-service: the usage of the calling key. */
export const SelfServiceUsageQuery = z.strictObject({ group_by: groups(['model', 'operation']), ...range });
const DIMENSIONS = ['team', 'key', 'model', 'operation', 'department'] as const;
const GROUPS = `must be a comma-separated list of ${DIMENSIONS.join(', ')}, tag:NAME`;
const TAG_GROUP = new RegExp(`^tag:${TAG_NAME.source.slice(1)}`);

/** `team,model,tag:project`: what is grouped by, and by the values of which tag (null: of none). */
const usageGroups = z
  .string()
  .default('')
  .transform((text) => [...new Set(text.split(',').map((part) => part.trim()))].filter((part) => part !== ''))
  .pipe(
    z
      .array(
        z.union([z.enum(DIMENSIONS, { error: GROUPS }), z.string().regex(TAG_GROUP, GROUPS)], {
          error: GROUPS,
        }),
      )
      .refine((parts) => parts.filter((part) => TAG_GROUP.test(part)).length <= 1, {
        error: 'must name one tag at most',
        abort: true,
      }),
  )
  .transform((parts) => ({
    dimensions: parts.filter(isDimension),
    tag: parts.find((part) => TAG_GROUP.test(part))?.slice('tag:'.length) ?? null,
  }))
  .meta({ description: `Comma-separated: ${DIMENSIONS.join(', ')}, and tag:NAME` });

function isDimension(part: string): part is (typeof DIMENSIONS)[number] {
  return DIMENSIONS.some((name) => name === part);
}

export const UsageQuery = z.strictObject({
  group_by: usageGroups,
  ...range,
  team_id: teamId.optional(),
  key_id: keyId.optional(),
  department_id: departmentId
    .optional()
    .meta({ description: 'Only calls admitted while their team was in it, or below it' }),
  tag: tagText.optional(),
  top: top('cost most'),
});

const sums = {
  calls: tokenCount,
  voided_calls: tokenCount,
  unknown_calls: tokenCount.meta({ description: 'Calls whose outcome is still unknown' }),
  input_tokens: tokenCount,
  cached_input_tokens: tokenCount,
  cache_write_tokens: tokenCount,
  output_tokens: tokenCount,
  reasoning_tokens: tokenCount,
  quantities: quantities.meta({ description: 'What else was used, by meter, in units; empty by department' }),
  cost_usd: money.meta({ description: 'With corrections' }),
  unknown_usd: money,
};

export const Usage = z
  .strictObject({
    ...shownRange,
    data: z.array(
      z.strictObject({
        starts_at: instant.nullable().meta({ description: 'Null for `total`' }),
        team_id: id.optional(),
        team_name: z.string().optional(),
        key_id: id.optional(),
        key_name: z.string().optional(),
        department_id: id.nullable().optional().meta({
          description: 'That of the team when the call was admitted; null: none',
        }),
        department_name: z.string().nullable().optional(),
        model: z.string().optional(),
        operation: z.string().optional(),
        tag_name: z.string().optional(),
        tag_value: z.string().nullable().optional().meta({ description: 'Null: calls without this tag' }),
        other,
        ...sums,
      }),
    ),
  })
  .meta({ id: 'Usage' });

export const ApiErrorsQuery = z.strictObject({
  group_by: groups(['team', 'code']),
  ...range,
  team_id: teamId.optional(),
  top: top('have most'),
});
/** Counts of denials, or of errors. */
export const ApiErrors = z
  .strictObject({
    ...shownRange,
    data: z.array(
      z.strictObject({
        starts_at: instant.nullable().meta({ description: 'Null for `total`' }),
        team_id: id.optional(),
        team_name: z.string().optional(),
        code: z.string().optional().meta({ description: 'The error code of the response' }),
        other,
        count: tokenCount,
      }),
    ),
  })
  .meta({ id: 'ApiErrors' });
