/** Who is signed in to the console, and who changed what. */
import { z } from 'zod';
import { id, instant, label, page, pageQuery, teamId } from './fields.ts';

export const NewSession = z
  .strictObject({
    key: z
      .string()
      .min(1, 'must not be empty')
      .max(500)
      .meta({ description: 'The admin key, or a virtual key' }),
  })
  .meta({ id: 'NewSession' });

const named = z.strictObject({ id, name: z.string() });

export const Session = z
  .strictObject({
    role: z.enum(['admin', 'team']),
    team: named.nullable().meta({ description: 'Null: an admin, with access to every team' }),
    key: named.nullable(),
    csrf: z.string().meta({ description: 'Changes in this session send it in the header x-tollgate-csrf' }),
    expires_at: instant,
  })
  .meta({ id: 'Session' });

const resource = z.enum(['team', 'key', 'limit', 'grant', 'plan', 'price', 'model', 'event']);

export const AuditQuery = pageQuery.extend({
  resource: resource.optional(),
  resource_id: label(256).optional(),
  team_id: teamId.optional(),
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
        '`admin key`, `admin session …`, `reconcile`, `tollgate`, or `database …` for changes that Tollgate did not make',
    }),
    action: z.enum(['create', 'change', 'delete', 'revoke', 'rotate', 'release']),
    resource,
    resource_id: z.string(),
    team_id: id.nullable(),
    before: row,
    after: row,
  })
  .meta({ id: 'AuditEntry' });
export const Audit = page(AuditEntry);
