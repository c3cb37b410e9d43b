/** Notices: who gets them of a team or department, which, and what was sent. */
import { z } from 'zod';
import { LANGUAGES, NOTICE_KINDS, RECIPIENT_KINDS } from '../../domain/notice.ts';
import { departmentId, id, instant, listQuery, page, pageQuery, teamId } from './fields.ts';

const subject = z
  .discriminatedUnion(
    'type',
    [
      z.strictObject({ type: z.literal('org') }),
      z.strictObject({ type: z.literal('team'), id: teamId }),
      z.strictObject({ type: z.literal('department'), id: departmentId }),
    ],
    { error: 'must be {"type": "org"}, {"type": "team", "id": …} or {"type": "department", "id": …}' },
  )
  .meta({
    description:
      'Whom it is about; `department`: it, its teams and all below, and digests of all of these; `org`: all warnings, and digests of the whole installation',
  });

const kind = z.enum(RECIPIENT_KINDS).meta({
  description: '`slack` and `teams`: incoming webhooks; `webhook`: JSON, signed by Standard Webhooks',
});
const wants = z
  .array(z.enum(NOTICE_KINDS))
  .min(1)
  .transform((kinds) => [...new Set(kinds)])
  .meta({
    description:
      '`warning`: a threshold was reached; `projection`: the money ends within seven days; `spike`: an hour that costs many times the usual; `weekly`, `monthly`: digests',
  });
const language = z.enum(LANGUAGES);

export const Recipient = z
  .strictObject({
    id,
    subject,
    kind,
    address: z.string().meta({ description: 'Of a URL its server alone' }),
    signed: z.boolean(),
    wants: z.array(z.enum(NOTICE_KINDS)),
    language,
    created_at: instant,
    deleted_at: instant.nullable(),
  })
  .meta({ id: 'Recipient' });
export const Recipients = page(Recipient);

const email = z.email('must be an e-mail address').max(254);
const webUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .max(2_000)
  .refine((text) => !URL.parse(text)?.username && !URL.parse(text)?.password, {
    error: 'must have no credentials',
  });

export const NewRecipient = z
  .strictObject({
    subject,
    kind,
    address: z.string().meta({ description: 'An e-mail address, or the URL of a webhook' }),
    secret: z
      .string()
      .regex(/^whsec_[A-Za-z0-9+/]{32,86}={0,2}$/, {
        error: 'must be `whsec_` and 24 to 64 random bytes in base64',
      })
      .nullable()
      .optional()
      .meta({ description: 'Signs what a `webhook` gets' }),
    wants: wants.default([...NOTICE_KINDS]),
    language: language.default('en'),
  })
  .superRefine((made, context) => {
    const parsed = (made.kind === 'email' ? email : webUrl).safeParse(made.address);
    for (const { message } of parsed.error?.issues ?? [])
      context.addIssue({ code: 'custom', path: ['address'], message });
    if (made.secret && made.kind !== 'webhook')
      context.addIssue({ code: 'custom', path: ['secret'], message: 'only a webhook is signed' });
  })
  .meta({ id: 'NewRecipient' });
export const RecipientChange = z
  .strictObject({ wants, language })
  .partial()
  .refine((change) => Object.keys(change).length > 0, 'must change at least one field')
  .meta({ id: 'RecipientChange' });
export const recipientListQuery = listQuery.extend({ team_id: teamId.optional() });

export const NoticesQuery = pageQuery.extend({ team_id: teamId.optional() });
export const Notice = z
  .strictObject({
    id: id.meta({ description: 'The same at every attempt; of mails, part of the Message-ID' }),
    team_id: id
      .nullable()
      .meta({ description: 'Null: the whole installation, or the department that the text names' }),
    kind: z.enum(NOTICE_KINDS),
    text: z.string().meta({ description: 'Its subject, in the language of the recipient' }),
    recipient_id: id,
    channel: kind.nullable(),
    address: z.string().nullable(),
    raised_at: instant,
    delivery: z.enum(['pending', 'delivered', 'given_up']),
    attempts: z.int(),
    problem: z.string().nullable().meta({ description: 'Why the last attempt failed' }),
    delivered_at: instant.nullable(),
  })
  .meta({ id: 'Notice' });
export const Notices = page(Notice);
