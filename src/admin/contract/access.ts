/** Who is signed in to the console, and who changed what. */
import { z } from 'zod';
import { AUDIT_ACTIONS, AUDIT_RESOURCES } from '../../domain/audit.ts';
import { PERMISSIONS } from '../../domain/roles.ts';
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
    role: z.enum(['admin', 'team', 'person']).meta({
      description: 'admin: the admin key; team: a virtual key; person: somebody by name',
    }),
    team: named.nullable().meta({ description: 'Of the virtual key; null: it was none' }),
    key: named.nullable(),
    person: z.strictObject({ id, user_name: z.string(), display_name: z.string() }).nullable(),
    permissions: z.partialRecord(z.enum(PERMISSIONS), z.union([z.literal('all'), z.array(id)])).meta({
      description: 'What may be done, and of which teams; all: of the whole organisation',
    }),
    csrf: z.string().meta({ description: 'Changes in this session send it in the header x-tollgate-csrf' }),
    expires_at: instant,
  })
  .meta({ id: 'Session' });

/** A session that is open, as admins see it. */
export const OpenSession = z
  .strictObject({
    id,
    actor: z.string().meta({ description: 'Its name in the audit log' }),
    role: z.enum(['admin', 'team', 'person']),
    team_id: id.nullable(),
    key_id: id.nullable().meta({ description: 'The virtual key that opened it' }),
    person_id: id.nullable().meta({ description: 'Who signed in; null: whoever has the key' }),
    address: z.string().meta({ description: 'Of the client that signed in; of IPv6 the first 64 bits' }),
    user_agent: z.string(),
    created_at: instant,
    expires_at: instant,
    current: z.boolean().meta({ description: 'It is the session that asks' }),
  })
  .meta({ id: 'OpenSession' });
export const OpenSessions = page(OpenSession);

export const AuditQuery = pageQuery.extend({
  resource: z.enum(AUDIT_RESOURCES).optional(),
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
        '`admin key`, `person …`, `token …`, `admin session …`, `team session …`, `reconcile`, `tollgate`, `address …` for a key that was wrong, or `database …` for changes that Tollgate did not make',
    }),
    action: z.enum(AUDIT_ACTIONS),
    resource: z.enum(AUDIT_RESOURCES),
    resource_id: z.string(),
    team_id: id.nullable(),
    before: row,
    after: row,
  })
  .meta({ id: 'AuditEntry' });
export const Audit = page(AuditEntry);
