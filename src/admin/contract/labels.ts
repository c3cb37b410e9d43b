/** What people say of the output of calls, and what it sums up to. */
import { z } from 'zod';
import { LABELS } from '../../domain/labels.ts';
import { id, instant, moment, money, page, pageQuery, teamId, label as text, tokenCount } from './fields.ts';

const callId = z
  .uuid({ error: 'must be the id of a call' })
  .meta({ description: 'Of the call: its x-tollgate-request-id' });
const label = z.enum(LABELS).meta({ description: 'edited: right after a change' });

export const NewLabel = z
  .strictObject({
    call_id: callId,
    label,
    reason: text(1_000).nullable().default(null),
    edited_text: z.string().min(1).max(100_000).optional().meta({
      description:
        'The answer as it should have been, of a call whose team keeps contents; with the label edited',
    }),
  })
  .refine(({ label, edited_text: edited }) => edited === undefined || label === 'edited', {
    path: ['edited_text'],
    error: 'goes with the label edited alone',
  })
  .meta({ id: 'NewLabel' });
export const Label = z
  .strictObject({
    id,
    team_id: id,
    call_id: id,
    label,
    reason: z.string().nullable(),
    labeller: z.string().meta({ description: 'Who gave it: a key, or an actor of the audit log' }),
    created_at: instant,
  })
  .meta({ id: 'Label' });
export const Labels = page(Label);
export const LabelsQuery = pageQuery.extend({
  team_id: teamId.optional(),
  call_id: callId.optional(),
  label: label.optional(),
  order: z.enum(['asc', 'desc']).default('asc').meta({ description: 'Given first or last first' }),
});

export const CallContent = z
  .strictObject({
    call_id: id,
    state: z.enum(['kept', 'not_kept', 'other_key']).meta({
      description:
        'not_kept: its team keeps nothing, or not any more. other_key: it was sealed under another key',
    }),
    request: z.string().nullable().meta({ description: 'As it was sent to the upstream; null: not kept' }),
    response: z
      .string()
      .nullable()
      .meta({ description: 'As it came from there: JSON, or a stream of events' }),
    example: z
      .looseObject({ messages: z.array(z.looseObject({ role: z.string() })) })
      .nullable()
      .meta({
        description: 'The call in the chat format of fine-tuning, as the model answered; null: it has none',
      }),
    edited_text: z.string().nullable().meta({ description: 'The answer as it should have been' }),
  })
  .meta({ id: 'CallContent' });

export const LabelsExportQuery = z.strictObject({
  team_id: teamId.optional(),
  label: z.enum(['accepted', 'edited']).optional().meta({ description: 'Missing: both' }),
  from: moment.optional().meta({ description: 'Calls admitted from then on' }),
  to: moment.optional().meta({ description: 'Exclusive' }),
});

export const LabelReportQuery = z.strictObject({
  team_id: teamId.optional(),
  from: moment.optional().meta({ description: 'Calls admitted from then on' }),
  to: moment.optional().meta({ description: 'Exclusive' }),
});
export const LabelReport = z
  .strictObject({
    from: instant.nullable(),
    to: instant.nullable(),
    data: z.array(
      z.strictObject({
        model: z.string(),
        labelled_calls: tokenCount,
        accepted: tokenCount.meta({ description: 'By the last label of each call' }),
        edited: tokenCount,
        rejected: tokenCount,
        cost_usd: money.meta({ description: 'Of all labelled calls, corrections included' }),
        cost_per_accepted_usd: money.nullable().meta({
          description: 'cost_usd over accepted, rounded down to 12 decimals; null: none was accepted',
        }),
        agreement: z.number().nullable().meta({
          description:
            'Of the calls that several people labelled, the part on which all agree; null: none was',
        }),
      }),
    ),
  })
  .meta({ id: 'LabelReport' });
