/** Fields that several resources of the admin API share: amounts, times, names, windows, pages. */
import { z } from 'zod';
import type { DepartmentId, KeyId, TeamId } from '../../domain/ids.ts';
import { PICO_PER_USD, parseUsd } from '../../domain/money.ts';
import { METER_NAMES } from '../../domain/quantities.ts';
import { CALENDAR_UNITS, isTimeZone } from '../../domain/window.ts';

const AMOUNT_MAX_USD = 1_000_000_000n;

/** JSON numbers are floats, and no float touches money. */
const decimalText = z.string({
  error: ({ input }) =>
    typeof input === 'number'
      ? 'must be a decimal string such as "18.00", not a number: JSON numbers are not exact'
      : 'must be a decimal string such as "18.00"',
});

function amountProblem(text: string, zeroAllowed: boolean): string | null {
  const amount = parseUsd(text);
  if (amount === null)
    return 'must be a decimal amount such as "18.00", with at most 12 digits after the point';
  if (amount < 0n || (amount === 0n && !zeroAllowed)) {
    return zeroAllowed ? 'must not be negative' : 'must be more than 0';
  }
  return amount > AMOUNT_MAX_USD * PICO_PER_USD ? `must be at most ${AMOUNT_MAX_USD}` : null;
}

function amountField(zeroAllowed: boolean) {
  return decimalText.superRefine((text, context) => {
    const message = amountProblem(text, zeroAllowed);
    if (message) context.addIssue({ code: 'custom', message });
  });
}

/** An amount in a request: more than 0, at most 10^9. */
export const amount = amountField(false).meta({ description: 'Decimal string', example: '18.00' });
/** A price or a cost in a request: 0 or more. */
export const rate = amountField(true).meta({ description: 'Decimal string of USD', example: '1.25' });
/** An amount in a response: exact, at least two digits after the point, possibly negative. */
export const money = z.string().meta({ description: 'Exact decimal string of USD', example: '17.9874' });

const MOMENT_MIN_MS = Date.parse('2000-01-01T00:00:00Z');
const MOMENT_MAX_MS = Date.parse('9999-01-01T00:00:00Z');

/** A time in a request. It needs an offset: without one its midnight is ambiguous. */
export const moment = z
  .string({ error: 'must be an ISO 8601 date, such as "2027-01-31T00:00:00Z"' })
  .refine(isMoment, {
    error:
      'must be an ISO 8601 date with an offset, such as "2027-01-31T00:00:00Z", or a date alone, which begins at 00:00 UTC',
    abort: true,
  })
  .refine(isWithinYears, { error: 'must lie in the years 2000 to 9998' })
  .meta({ description: 'ISO 8601 with an offset; a date alone begins at 00:00 UTC' });
/** A time in a response. */
export const instant = z.iso.datetime();

function isMoment(text: string): boolean {
  return z.iso.datetime({ offset: true }).safeParse(text).success || z.iso.date().safeParse(text).success;
}

function isWithinYears(text: string): boolean {
  const ms = Date.parse(text);
  return ms >= MOMENT_MIN_MS && ms < MOMENT_MAX_MS;
}

/** Text written by people: trimmed, not empty, no control characters (Postgres rejects NUL). */
export const label = (lengthMax: number) =>
  z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(lengthMax, `must have at most ${lengthMax} characters`)
    .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text), 'must not contain control characters');

export const name = label(200);
export const modelName = label(256);
export const modelNames = z.array(modelName).min(1).max(100);
/** Lower case, as Postgres writes ids: some are stored and compared as text. */
export const id = z.uuid('must be an id').toLowerCase();
/** The same check of an id of one kind, which the rooms below tell from others. */
const idOf = <Id extends string>() => id as unknown as z.ZodType<Id, string>;
export const teamId = idOf<TeamId>();
export const keyId = idOf<KeyId>();
export const departmentId = idOf<DepartmentId>();
export const tokenCount = z.int().min(0);

/** Amounts by meter in its unit (seconds, images, calls); those of text have fields of their own. */
export const quantities = z
  .partialRecord(z.enum(METER_NAMES), z.number().min(0))
  .meta({ example: { audio_seconds: 12.5 } });

export const timeZone = z
  .string()
  .max(100)
  .refine(isTimeZone, 'must name an IANA time zone, such as "Europe/Berlin"')
  .meta({ example: 'Europe/Berlin' });

const ROLLING_SECONDS_MAX = 31 * 86_400;

export const window = z
  .discriminatedUnion(
    'type',
    [
      z.strictObject({ type: z.literal('lifetime') }),
      z.strictObject({
        type: z.literal('calendar'),
        unit: z.enum(CALENDAR_UNITS),
        time_zone: timeZone,
        start_month: z.int().min(1).max(12).optional().meta({
          description: 'Of a quarter or a year: the month in which the fiscal year begins. Missing: 1',
        }),
        start_day: z.int().min(1).max(31).optional().meta({
          description:
            'Of a week: the weekday on which it begins, 1 (Monday) to 7. Of a month, quarter or year: the day of the month, or its last day. Missing: 1',
        }),
        start_hour: z.int().min(0).max(23).optional().meta({
          description: 'The hour at which it begins. Missing: 0',
        }),
      }),
      z.strictObject({ type: z.literal('rolling'), seconds: z.int().min(1).max(ROLLING_SECONDS_MAX) }),
    ],
    { error: 'must have a type: "lifetime", "calendar" or "rolling"' },
  )
  .meta({ id: 'Window' });

const PAGE_LIMIT_MAX = 1_000;

/** Query of every list. */
export const pageQuery = z.strictObject({
  after: z.string().max(500).optional().meta({ description: '`next` of the page before' }),
  limit: z.coerce.number().int().min(1).max(PAGE_LIMIT_MAX).default(100),
});

/** Query of lists that keep history. */
export const listQuery = pageQuery.extend({
  include_deleted: z
    .enum(['true', 'false'])
    .default('false')
    .meta({ description: 'Also what was deleted, revoked or replaced' }),
});
export const teamListQuery = listQuery.extend({ team_id: teamId.optional() });
export const priceListQuery = listQuery.extend({ model: modelName.optional() });

/** A page of a list; `next` is the cursor of the following one, null at the end. */
export function page<Item extends z.ZodType>(item: Item) {
  return z.strictObject({ data: z.array(item), next: z.string().nullable() });
}

/** The fields that a change may have, at least one of them. */
export const changes = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape).partial().refine(isNotEmpty, 'must change at least one field');

function isNotEmpty(body: object): boolean {
  return Object.keys(body).length > 0;
}

/** Every response that is not 2xx: OpenAI's error shape, with the codes of docs/ERRORS.md. */
export const ErrorBody = z
  .strictObject({
    error: z.looseObject({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string(),
    }),
  })
  .meta({ id: 'Error' });
