/**
 * What admins set: teams, keys, limits, grants, prices and plans. For each: what it looks like, what makes one, what
 * changes one; for limits also how far one is used, and what one would do.
 */
import { z } from 'zod';
import { ENFORCEMENTS, METERS, SUBJECT_TYPES } from '../../domain/limit.ts';
import { OBJECT_KINDS } from '../../domain/objects.ts';
import { ON_SHORTAGE } from '../../domain/open-ended.ts';
import { CLIENT_GONE } from '../../domain/upstream.ts';
import {
  amount,
  changes,
  departmentId,
  id,
  instant,
  keyId,
  label,
  modelNames,
  moment,
  money,
  name,
  page,
  teamId,
  teamListQuery,
  tokenCount,
  window,
} from './fields.ts';
import { carryOver, onExhausted } from './on-exhausted.ts';
import { raiseStates } from './raises.ts';
import { keyMember, keyTags, memberSubject, tagSubject } from './tags.ts';

const onShortage = z.enum(ON_SHORTAGE);
const keyOnShortage = onShortage.nullable().meta({
  description: 'Of its calls without an output limit: shorten or refuse. Null: as the team says',
});

const teamsDepartment = departmentId.nullable().meta({
  description: 'Budgets of it, and of those above it, bind the calls of the team. Null: none',
});

export const Team = z
  .strictObject({
    id,
    name: z.string(),
    plan: z.string().nullable(),
    department_id: id.nullable(),
    unlimited: z.boolean(),
    fail_open: z.boolean(),
    on_client_gone: z.enum(CLIENT_GONE).nullable(),
    on_shortage: onShortage.nullable(),
    content_retention_days: z.int().nullable(),
    models: z.array(z.string()).nullable(),
    grants: z.array(
      z.strictObject({ id, amount_usd: money, starts_at: instant, expires_at: instant.nullable() }),
    ),
    created_at: instant,
    deleted_at: instant.nullable(),
  })
  .meta({ id: 'Team' });
export const Teams = page(Team);
export const NewTeam = z
  .strictObject({
    name,
    plan: label(200).nullable().optional().meta({ description: 'Missing: the default plan. Null: none' }),
    department_id: teamsDepartment.default(null),
    unlimited: z.boolean().default(false).meta({ description: 'May spend without a grant or a cost limit' }),
    models: modelNames.nullable().optional().meta({
      description:
        'Models that its keys may use; a key may allow fewer. Missing: those of the plan. Null: all',
    }),
  })
  .meta({ id: 'NewTeam' });
export const TeamChange = changes({
  name,
  department_id: teamsDepartment,
  unlimited: z.boolean(),
  fail_open: z.boolean(),
  on_client_gone: z.enum(CLIENT_GONE).nullable().meta({
    description:
      'What becomes of a call whose client leaves: finish (its cost is known) or cancel. Null: as the upstream is set',
  }),
  on_shortage: onShortage.nullable().meta({
    description:
      'What becomes of a call without an output limit when little money is left: shorten its answer, or refuse it before anything is paid. Null: shorten',
  }),
  content_retention_days: z.int().min(1).max(3_650).nullable().meta({
    description:
      'Keeps what its calls say for so many days, encrypted, for exports of labelled calls. Null: nothing is kept, and what there is is deleted',
  }),
  models: modelNames.nullable(),
}).meta({
  id: 'TeamChange',
});

const keyFields = {
  id,
  team_id: id,
  name: z.string(),
  prefix: z.string(),
  models: z.array(z.string()).nullable(),
  on_shortage: onShortage.nullable(),
  tags: z.record(z.string(), z.string()),
  member: z.string().nullable(),
  created_at: instant,
  expires_at: instant.nullable(),
  revoked_at: instant.nullable(),
  previous_expires_at: instant
    .nullable()
    .meta({ description: 'Until when the text before the last rotation works too; null: it does not work' }),
};
export const Key = z.strictObject(keyFields).meta({ id: 'Key' });
export const Keys = page(Key);
export const MadeKey = z
  .strictObject({ ...keyFields, key: z.string().meta({ description: 'Shown this once' }) })
  .meta({ id: 'MadeKey' });
export const NewKey = z
  .strictObject({
    team_id: teamId,
    name,
    expires_at: moment.nullable().default(null),
    models: modelNames.nullable().default(null).meta({
      description: 'Models that the key may use; a name allows its snapshots too. Null: all',
    }),
    on_shortage: keyOnShortage.default(null),
    tags: keyTags.default(null),
    member: keyMember.default(null),
  })
  .meta({ id: 'NewKey' });
const GRACE_SECONDS_MAX = 31 * 86_400;
export const NewRotation = z
  .strictObject({
    grace_seconds: z
      .int()
      .min(0)
      .max(GRACE_SECONDS_MAX)
      .default(0)
      .meta({ description: 'How long the text before works too; 0: it stops at once' }),
  })
  .meta({ id: 'NewRotation' });
export const KeyChange = changes({
  name,
  expires_at: moment.nullable(),
  models: modelNames.nullable(),
  on_shortage: keyOnShortage,
  tags: keyTags,
  member: keyMember,
}).meta({ id: 'KeyChange' });

export const subject = z
  .discriminatedUnion(
    'type',
    [
      z.strictObject({ type: z.literal('org') }),
      z.strictObject({ type: z.literal('department'), id: departmentId }),
      z.strictObject({ type: z.literal('team'), id: teamId }),
      z.strictObject({ type: z.literal('key'), id: keyId }),
      z.strictObject({
        type: z.literal('user'),
        id: label(256)
          .nullable()
          .optional()
          .meta({ description: 'Missing or null: each end user, counted apart' }),
        team_id: teamId
          .nullable()
          .optional()
          .meta({ description: 'The team of the end users; missing or null: every team' }),
      }),
      memberSubject,
      tagSubject,
    ],
    { error: 'must have a type: "org", "department", "team", "member", "key", "user" or "tag"' },
  )
  .meta({ id: 'Subject' });
export const meter = z.enum(METERS);
export const enforcement = z.enum(ENFORCEMENTS);

const ruleName = name
  .nullable()
  .meta({ description: 'Shown wherever its id is, also to who is denied; null: none' });
export const Limit = z
  .strictObject({
    id,
    name: z.string().nullable(),
    team_id: id.nullable().meta({ description: 'Null: it belongs to the whole installation' }),
    subject,
    models: z.array(z.string()).nullable(),
    meter,
    amount: money,
    window,
    enforcement,
    max_hold: money.nullable(),
    max_unknown: money.nullable(),
    warn_at: z.array(z.int()).nullable(),
    on_exhausted: onExhausted,
    carry_over: carryOver.nullable(),
    reset_at: instant.nullable().meta({ description: 'When its window was last reset; null: never' }),
    reset_reason: z.string().nullable(),
    created_at: instant,
    deleted_at: instant.nullable(),
  })
  .meta({ id: 'Limit' });
const percents = z.array(z.int().min(1).max(1_000)).max(10);
export const NewLimit = z
  .strictObject({
    name: ruleName.default(null),
    subject,
    models: modelNames.nullable().default(null).meta({
      description: 'Only calls to these models count; a name stands for its snapshots too. Null: all',
    }),
    meter,
    amount: amount.meta({ description: 'Decimal string: USD, or whole tokens, requests or calls at once' }),
    window,
    enforcement: enforcement
      .default('strict')
      .meta({ description: 'strict: never exceeded. soft: never denies; counts and warns' }),
    max_hold: amount.nullable().default(null).meta({
      description: "The most that one call may hold, in the meter's unit; null: as much as is left",
    }),
    max_unknown: amount
      .nullable()
      .default(null)
      .meta({
        description:
          'Of a cost limit: while more than this is charged for calls of unknown outcome, calls go one at a time; null: ' +
          'a tenth of the amount, or the largest hold if that is more',
      }),
    warn_at: percents.nullable().default(null).meta({
      description: 'Percents of the amount at which it warns; null: those of the configuration; empty: never',
    }),
    on_exhausted: onExhausted.default({ action: 'refuse' }),
    carry_over: carryOver.nullable().default(null),
  })
  .meta({ id: 'NewLimit' });
export const LimitChange = changes({
  name: ruleName,
  amount,
  max_hold: amount.nullable(),
  max_unknown: amount.nullable(),
  warn_at: percents.nullable(),
  on_exhausted: onExhausted,
  carry_over: carryOver.nullable(),
}).meta({ id: 'LimitChange' });

export const limitListQuery = teamListQuery.extend({
  subject_type: z.enum(SUBJECT_TYPES).optional(),
  state: z
    .enum(['true', 'false'])
    .default('false')
    .meta({ description: 'Also return how far each is used in its current window' }),
});

export const ListedLimit = Limit.extend({
  state: z
    .strictObject({
      settled: money.meta({ description: "In the meter's unit, as are held and remaining" }),
      held: money,
      remaining: money.meta({ description: 'With what its raises have left' }),
      raises: raiseStates,
      window_starts_at: instant.nullable().meta({ description: 'Null: lifetime' }),
      resets_at: instant.nullable().meta({ description: 'Null: never' }),
    })
    .optional()
    .meta({
      description:
        'Missing without `state=true`, for a deleted limit, and for one that counts each end user, or each value of a tag, apart',
    }),
}).meta({ id: 'ListedLimit' });
export const ListedLimits = page(ListedLimit);

export const LimitPreview = z
  .strictObject({
    window_starts_at: instant.nullable().meta({ description: 'Null: it counts for ever, or is rolling' }),
    resets_at: instant.nullable(),
    used: money.meta({
      description:
        "What it would count now, in the meter's unit. Of each end user: the most of one of them today. Of a rolling window: since the day began at most",
    }),
    amount: money,
    remaining: money,
    calls_today: tokenCount.meta({
      description: 'Those that it would count; of more than 50,000 the first are looked at',
    }),
    denied_calls_today: tokenCount.meta({
      description:
        'By what they used: a strict limit holds what a call could use at worst, and may deny more',
    }),
    first_denied_at: instant.nullable(),
  })
  .meta({ id: 'LimitPreview' });

export const Grant = z
  .strictObject({
    id,
    name: z.string().nullable(),
    team_id: id,
    amount_usd: money,
    starts_at: instant,
    expires_at: instant.nullable(),
    max_unknown_usd: money.nullable(),
    created_at: instant,
    deleted_at: instant.nullable(),
  })
  .meta({ id: 'Grant' });
export const Grants = page(Grant);
export const NewGrant = z
  .strictObject({
    team_id: teamId,
    name: ruleName.default(null),
    amount_usd: amount,
    starts_at: moment.optional().meta({ description: 'Missing: now' }),
    expires_at: moment.nullable().default(null).meta({ description: 'Null: never' }),
    max_unknown_usd: amount.nullable().default(null).meta({
      description:
        'Above this much charged for calls of unknown outcome they go one at a time. Null: a tenth of the amount',
    }),
  })
  .meta({ id: 'NewGrant' });
export const GrantChange = changes({
  name: ruleName,
  amount_usd: amount,
  expires_at: moment.nullable(),
  max_unknown_usd: amount.nullable(),
}).meta({ id: 'GrantChange' });

const planGrants = z
  .array(z.strictObject({ amount_usd: amount, months: z.int().min(1).max(1200).nullable() }))
  .max(10)
  .meta({
    description: 'Credit that a new team gets, and after how many calendar months it expires (null: never)',
  });
const planLimits = z
  .array(NewLimit.omit({ subject: true, name: true }))
  .max(20)
  .meta({ description: 'Limits that a new team gets, each on the team' });
const planModels = modelNames.nullable().meta({ description: 'Models that a new team may use. Null: all' });
export const Plan = z
  .strictObject({
    name: z.string(),
    grants: z.array(z.strictObject({ amount_usd: money, months: z.int().nullable() })),
    limits: z.array(
      Limit.pick({
        models: true,
        meter: true,
        amount: true,
        window: true,
        enforcement: true,
        max_hold: true,
        max_unknown: true,
        warn_at: true,
        on_exhausted: true,
        carry_over: true,
      }),
    ),
    models: z.array(z.string()).nullable(),
    created_at: instant,
  })
  .meta({ id: 'Plan' });
export const Plans = page(Plan);
export const NewPlan = z
  .strictObject({
    name,
    grants: planGrants.default([]),
    limits: planLimits.default([]),
    models: planModels.default(null),
  })
  .meta({ id: 'NewPlan' });
export const PlanChange = changes({ grants: planGrants, limits: planLimits, models: planModels }).meta({
  id: 'PlanChange',
});

/** An object of the upstream's that was made without Tollgate. */
export const NewKeptObject = z
  .strictObject({
    kind: z.enum(OBJECT_KINDS),
    id: z
      .string()
      .regex(/^[\w.:-]{1,256}$/, 'must be the object\'s id, such as "conv_…"')
      .meta({ description: 'As the upstream names it' }),
    team_id: teamId.nullable().meta({
      description: 'Null: every team may use it, and none may change or delete it',
    }),
    max_tokens: z.number().int().min(0).max(1_000_000_000).nullable().default(null).meta({
      description:
        "The most that it is as input of any model; 0 for one that is empty. Null: not known, so calls with it hold the model's window",
    }),
    upstream: label(32).nullable().default(null).meta({
      description: 'Name of the upstream that keeps it, of several; null: the first of them',
    }),
  })
  .meta({ id: 'NewKeptObject' });

export const KeptObject = z
  .strictObject({
    kind: z.enum(OBJECT_KINDS),
    id: z.string(),
    team_id: id.nullable(),
    created_at: instant,
  })
  .meta({ id: 'KeptObject' });
