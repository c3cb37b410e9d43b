/**
 * Notices: what team leads learn of their teams. Owns: their kinds, how recipients are reached, and the facts of each kind, which any
 * language can be made of. Pure.
 */
import { z } from 'zod';

export const NOTICE_KINDS = ['warning', 'projection', 'spike', 'weekly', 'monthly'] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

/** `slack` and `teams` take their own shapes; `webhook` gets the facts, signed by Standard Webhooks. */
export const RECIPIENT_KINDS = ['email', 'slack', 'teams', 'webhook'] as const;
export type RecipientKind = (typeof RECIPIENT_KINDS)[number];

export const LANGUAGES = ['en', 'zh'] as const;
export type Language = (typeof LANGUAGES)[number];

const amount = z.string();
/** Null as a name: all others together. */
const named = z.object({ name: z.string().nullable(), cost: amount });
/** Null: the whole installation, or what `about` names. */
const team = z.string().nullable();
/** Whom it is about, where that is no team and not the whole installation; missing: it is. */
const about = z.object({ type: z.enum(['department', 'key', 'user', 'tag']), name: z.string() }).optional();

const digest = {
  team,
  about,
  /** In UTC; the end is exclusive. */
  from: z.string(),
  to: z.string(),
  cost: amount,
  /** Of the period before. */
  before: amount,
  calls: z.number(),
  /** Each UTC day, in order. */
  days: z.array(z.object({ day: z.string(), cost: amount })),
  /** Of several teams; missing: it is of one, or was raised by an earlier release. */
  teams: z.array(named).optional(),
  /** Dearest first, the others last. */
  models: z.array(named),
  keys: z.array(named),
};

/** Money is decimal text of USD, other amounts decimal text of their meter; moments are ISO 8601. */
export const noticeFacts = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('warning'),
    team,
    /** Whom the limit counts. */
    about,
    source: z.enum(['limit', 'grant']),
    /** The limit or grant. */
    sourceId: z.string(),
    meter: z.string(),
    threshold: z.number(),
    settled: amount,
    amount,
    /** A call was denied. */
    denied: z.boolean(),
    endsAt: z.string().nullable(),
  }),
  z.object({
    kind: z.literal('projection'),
    team,
    about,
    remaining: amount,
    exhaustsAt: z.string(),
    /** Spent in the last seven days. */
    spent: amount,
  }),
  z.object({
    kind: z.literal('spike'),
    team,
    /** The hour that ended then. */
    at: z.string(),
    cost: amount,
    /** An hour's mean of the week before. */
    usual: amount,
    times: z.number(),
    /** The dearest of that hour. */
    calls: z.array(z.object({ id: z.string(), model: z.string(), key: z.string(), cost: amount })),
  }),
  z.object({ kind: z.literal('weekly'), ...digest }),
  z.object({ kind: z.literal('monthly'), ...digest }),
]);
export type NoticeFacts = z.output<typeof noticeFacts>;
export type DigestFacts = Extract<NoticeFacts, { kind: 'weekly' | 'monthly' }>;
