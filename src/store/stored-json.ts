/** What stands in columns of JSON, as schemas: everything that is read back is parsed by one of them (schema-columns.ts). */
import { z } from 'zod';
import { ENFORCEMENTS, METERS } from '../domain/limit.ts';
import type { Window } from '../domain/window.ts';

export const storedWindow: z.ZodType<Window> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('lifetime') }),
  z.object({ type: z.literal('calendar'), unit: z.enum(['day', 'week', 'month']), timeZone: z.string() }),
  z.object({ type: z.literal('rolling'), seconds: z.number() }),
]);

/** What an event took of each counter, in decimal text of the counter's meter. */
export const storedAllocations = z.array(
  z.object({ counter: z.string(), held: z.string(), settled: z.string() }),
);

/** Numbers by name: microseconds by stage, quantities by meter. */
export const storedNumbers = z.record(z.string(), z.number());

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
});
export const planLimits = z.array(planLimit);
export type PlanLimit = z.infer<typeof planLimit>;

/** A row by the names of its columns, as the audit log keeps it. */
export const storedRow = z.record(z.string(), z.unknown());
