/** What admins changed, and who they were. */
import { z } from 'zod';
import { id, instant, label, page, pageQuery } from './fields.ts';

const noun = z.enum(['team', 'key', 'limit', 'grant', 'plan', 'price', 'model', 'event']);

export const AuditQuery = pageQuery.extend({
  noun: noun.optional(),
  noun_id: label(256).optional(),
  team_id: id.optional(),
});

const row = z
  .record(z.string(), z.unknown())
  .nullable()
  .meta({ description: 'The whole row by the names of its columns, without what is secret' });

export const AuditEntry = z
  .strictObject({
    id,
    at: instant,
    actor: z.string().meta({
      description:
        '`admin key`, `admin session …`, `reconcile`, `tollgate`, or `database …` for who changed rows without Tollgate',
    }),
    action: z.enum(['create', 'change', 'delete', 'revoke', 'rotate', 'release']),
    noun,
    noun_id: z.string(),
    team_id: id.nullable(),
    before: row,
    after: row,
  })
  .meta({ id: 'AuditEntry' });
export const Audit = page(AuditEntry);
