/** What stands in columns of JSON, as schemas: everything that is read back is parsed by one of them (schema-columns.ts). */
import { z } from 'zod';
import { DIFFERENCE_KINDS } from '../domain/differences.ts';
import { IMAGE_DETAILS } from '../domain/images.ts';
import type { Conversation, ConversationCall, History, KeptResponse } from '../domain/kept.ts';
import { ENFORCEMENTS, METERS, type OnExhausted } from '../domain/limit.ts';
import { SERVICE_TIERS } from '../domain/price.ts';
import { ROLES } from '../domain/roles.ts';
import { CALENDAR_UNITS, type Window } from '../domain/window.ts';

export const storedWindow: z.ZodType<Window> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('lifetime') }),
  z.object({
    type: z.literal('calendar'),
    unit: z.enum(CALENDAR_UNITS),
    timeZone: z.string(),
    startMonth: z.number().optional(),
    startDay: z.number().optional(),
    startHour: z.number().optional(),
  }),
  z.object({ type: z.literal('rolling'), seconds: z.number() }),
]);

export const storedOnExhausted: z.ZodType<OnExhausted> = z.discriminatedUnion('action', [
  z.object({ action: z.literal('wait'), maxSeconds: z.number() }),
  z.object({ action: z.literal('slow_down'), callsPerMinute: z.number(), fromPercent: z.number() }),
  z.object({ action: z.literal('cheaper_model'), models: z.array(z.string()) }),
]);

/** The most that a limit carries into its next window. */
export const storedCarryOver = z.union([
  z.object({ maxUsd: z.string() }),
  z.object({ maxPercent: z.number() }),
]);
export type CarryOver = z.infer<typeof storedCarryOver>;

/** What became of a call instead of a denial. */
export const storedInstead = z.object({
  action: z.enum(['wait', 'slow_down', 'cheaper_model']),
  limit_id: z.string(),
  seconds: z.number().optional(),
  instead_of: z.string().optional(),
});

/** What an event took of each counter, in decimal text of the counter's meter. */
export const storedAllocations = z.array(
  z.object({ counter: z.string(), held: z.string(), settled: z.string() }),
);

/** Numbers by name: microseconds by stage, quantities by meter. */
export const storedNumbers = z.record(z.string(), z.number());

/** Tags by name. */
export const storedTags = z.record(z.string(), z.string());

/** Credit that a plan gives. Null months: it never expires. */
const planGrant = z.object({ amount_usd: z.string(), months: z.number().nullable() });
export const planGrants = z.array(planGrant);
export type PlanGrant = z.infer<typeof planGrant>;

/** A limit that a plan gives: its subject is the new team. Amounts are decimal text. */
const planLimit = z.object({
  models: z.array(z.string()).nullable(),
  meter: z.enum(METERS),
  amount: z.string(),
  window: storedWindow,
  enforcement: z.enum(ENFORCEMENTS),
  maxHold: z.string().nullable().default(null),
  maxUnknown: z.string().nullable().default(null),
  warnAt: z.array(z.number()).nullable().default(null),
  onExhausted: storedOnExhausted.nullable().default(null),
  carryOver: storedCarryOver.nullable().default(null),
});
export const planLimits = z.array(planLimit);
export type PlanLimit = z.infer<typeof planLimit>;

/** Where a role holds: in the whole organization, in a department with all below it, or for one team. */
const storedScope = z.discriminatedUnion('type', [
  z.object({ type: z.literal('org') }),
  z.object({ type: z.literal('department'), id: z.string() }),
  z.object({ type: z.literal('team'), id: z.string() }),
]);

/** Roles of a person, a token or a group. */
export const givenRoles = z.array(z.object({ role: z.enum(ROLES), scope: storedScope }));
export type GivenRole = z.infer<typeof givenRoles>[number];

/** A row by the names of its columns, as the audit log keeps it. */
export const storedRow = z.record(z.string(), z.unknown());

const tokens = z.number().min(0);
const images = z.array(
  z.object({
    size: z.object({ width: z.number(), height: z.number() }).nullable(),
    detail: z.enum(IMAGE_DETAILS),
  }),
);

const history: z.ZodType<History> = z.object({
  models: z.array(z.string()),
  tokens: tokens.nullable(),
  reasoning: tokens,
  leftOut: tokens,
  isReasoningKnown: z.boolean(),
  reasoningContext: z.enum(['all_turns', 'current_turn']).nullable(),
  bytes: tokens,
  images,
  hasHidden: z.boolean(),
  isOpen: z.boolean(),
});

/** What a response weighs as input. */
export const storedResponse: z.ZodType<KeptResponse> = z.object({
  history,
  inputTokens: tokens,
  outputTokens: tokens,
  reasoningTokens: tokens,
  items: z.array(
    z.object({
      names: z.array(z.string()),
      bytes: tokens,
      hidden: z.enum(['nothing', 'reasoning', 'output', 'input']),
      images,
    }),
  ),
});

/** What a conversation weighs by the calls that have ended in it. */
export const storedConversation: z.ZodType<Conversation> = z.object({
  history,
  begun: tokens,
  addedTokens: tokens,
  mixedUntil: tokens,
});

/** What a call adds to its conversation at most. */
export const storedConversationCall: z.ZodType<ConversationCall> = z.object({
  model: z.string(),
  addedBefore: tokens,
  bytes: tokens,
  images,
  hasHidden: z.boolean(),
  isOpen: z.boolean(),
  outputTokens: tokens.nullable(),
});

/** What a call left upstream, as the last member of its event in the journal. */
export const storedObject = z.object({
  /** Null: the upstream keeps no response. */
  id: z.string().nullable(),
  /** Of an object of which only the team is recorded; missing: a response. */
  kind: z.enum(['stored_completion']).optional(),
  /** Null: the call added nothing, or nothing that weighs. */
  response: storedResponse.nullable(),
  /** The conversation that it was in, and its row there; null: none. */
  conversation: z.object({ id: z.string(), call: z.uuid() }).nullable(),
});
export type StoredObject = z.infer<typeof storedObject>;

export const storedNames = z.array(z.string());

/** Differences of a day between the upstream's bill and the ledger; amounts are decimal text. */
export const storedDifferences = z.array(
  z.object({
    id: z.string(),
    kind: z.enum(DIFFERENCE_KINDS),
    with: z.array(z.enum(DIFFERENCE_KINDS)),
    model: z.string().nullable(),
    tier: z.enum(SERVICE_TIERS).nullable(),
    lineItem: z.string().nullable(),
    apiKeyId: z.string().nullable(),
    quantity: z.number().nullable(),
    amount: z.string(),
    corrected: z.string(),
    calls: z.number(),
  }),
);
export type StoredDifference = z.infer<typeof storedDifferences>[number];
