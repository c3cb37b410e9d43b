/** Jobs: calls that go on after their response. */
import { z } from 'zod';
import { JOB_KINDS, JOB_STATES } from '../../domain/job.ts';
import { id, instant, money, page, pageQuery, teamId } from './fields.ts';

export const JobsQuery = pageQuery.extend({
  team_id: teamId.optional(),
  kind: z.enum(JOB_KINDS).optional(),
  state: z.enum(JOB_STATES).optional(),
  open: z.enum(['true', 'false']).optional().meta({ description: 'Those that have not ended, or that have' }),
});

export const Job = z
  .strictObject({
    id: id.meta({ description: 'Also the id of its event, once it has ended' }),
    team_id: id,
    key_id: id,
    kind: z.enum(JOB_KINDS),
    state: z.enum(JOB_STATES).meta({
      description:
        'asked: the upstream has not named it yet; running; settled, voided or unknown as the outcome of a call',
    }),
    upstream: z.string().nullable().meta({ description: 'Among several; null: there is only one' }),
    upstream_id: z.string().nullable().meta({ description: 'Its id there' }),
    upstream_status: z.string().nullable().meta({ description: 'As the upstream last said' }),
    model: z.string().meta({ description: 'Empty: several' }),
    held_usd: money.meta({ description: 'What it holds, or held' }),
    forecast_usd: money
      .nullable()
      .meta({ description: 'At most, by how far it is; null: it was not seen yet' }),
    settled_usd: money.nullable().meta({ description: 'Null: it has not ended' }),
    done: z
      .int()
      .nullable()
      .meta({ description: 'Lines of a batch, or items of a run of an eval, that are done' }),
    total: z.int().nullable(),
    failures: z.int().meta({ description: 'Of asking the upstream since it last replied' }),
    problem: z.string().nullable(),
    created_at: instant,
    next_look_at: instant.nullable().meta({ description: 'Null: it has ended' }),
    ended_at: instant.nullable(),
  })
  .meta({ id: 'Job' });
export const Jobs = page(Job);
