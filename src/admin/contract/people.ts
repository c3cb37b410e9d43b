/** Who may use the admin API: people, service tokens, and the roles of both. */
import { z } from 'zod';
import { ROLES } from '../../domain/roles.ts';
import { departmentId, id, instant, label, moment, name, page, teamId } from './fields.ts';

const ROLES_MAX = 50;

const scope = z
  .discriminatedUnion(
    'type',
    [
      z.strictObject({ type: z.literal('org') }),
      z.strictObject({ type: z.literal('department'), id: departmentId }),
      z.strictObject({ type: z.literal('team'), id: teamId }),
    ],
    { error: 'must have a type: "org", "department" or "team"' },
  )
  .meta({
    id: 'RoleScope',
    description: 'Where a role holds: the whole organisation, a department with all below it, or one team',
  });
const role = z.enum(ROLES).meta({ description: 'What each may do stands in docs/ADMIN.md' });
const roles = z
  .array(z.strictObject({ role, scope }))
  .max(ROLES_MAX)
  .meta({ description: 'Nobody gives or takes more than they have. Empty: nothing may be done' });

const externalId = label(256).meta({ description: 'As the one who provisions people names them (SCIM)' });
const userName = label(256).toLowerCase().meta({ description: 'Lower case; given once' });
const email = z.email('must be an e-mail address').max(254).toLowerCase();

export const Person = z
  .strictObject({
    id,
    external_id: z.string().nullable(),
    user_name: z.string(),
    display_name: z.string(),
    email: z.string().nullable(),
    active: z.boolean().meta({ description: 'False: no session and no token of theirs works' }),
    roles,
    groups: z
      .array(z.string())
      .meta({ description: 'Of the identity provider, as of the last time they signed in' }),
    last_sign_in_at: instant.nullable(),
    created_at: instant,
    deleted_at: instant.nullable(),
  })
  .meta({ id: 'Person' });
export const People = page(Person);
export const NewPerson = z
  .strictObject({
    user_name: userName,
    display_name: name.optional().meta({ description: 'Missing: the user name' }),
    external_id: externalId.nullable().default(null),
    email: email.nullable().default(null),
    active: z.boolean().default(true),
    roles: roles.default([]),
  })
  .meta({ id: 'NewPerson' });
export const PersonChange = z
  .strictObject({
    user_name: userName,
    display_name: name,
    external_id: externalId.nullable(),
    email: email.nullable(),
    active: z.boolean().meta({
      description:
        'False ends all sessions, and revokes the tokens made by them. True brings back who was deleted, without roles',
    }),
    roles,
  })
  .partial()
  .refine((body) => Object.keys(body).length > 0, 'must change at least one field')
  .meta({ id: 'PersonChange' });

export const RoleMapping = z
  .strictObject({
    name: z.string().meta({ description: 'The group, as the identity provider names it' }),
    roles,
    created_at: instant,
  })
  .meta({ id: 'RoleMapping' });
export const RoleMappings = page(RoleMapping);
export const NewRoleMapping = z.strictObject({ name: label(256), roles }).meta({ id: 'NewRoleMapping' });
export const RoleMappingChange = z.strictObject({ roles }).meta({ id: 'RoleMappingChange' });

const tokenFields = {
  id,
  name: z.string(),
  prefix: z.string(),
  roles,
  person_id: id.nullable().meta({
    description: 'Who made it: it may do no more than they may, and ends with them. Null: the admin key',
  }),
  created_at: instant,
  expires_at: instant,
  revoked_at: instant.nullable(),
  last_used_at: instant.nullable().meta({ description: 'To the minute' }),
};
export const ServiceToken = z.strictObject(tokenFields).meta({ id: 'ServiceToken' });
export const ServiceTokens = page(ServiceToken);
export const MadeToken = z
  .strictObject({ ...tokenFields, token: z.string().meta({ description: 'Shown this once' }) })
  .meta({ id: 'MadeToken' });
export const NewToken = z
  .strictObject({
    name,
    roles: roles.min(1, 'must have at least one role'),
    expires_at: moment.optional().meta({ description: 'At most 366 days from now. Missing: in 90 days' }),
  })
  .meta({ id: 'NewToken' });
export const TokenChange = z
  .strictObject({ name, roles: roles.min(1, 'must have at least one role'), expires_at: moment })
  .partial()
  .refine((body) => Object.keys(body).length > 0, 'must change at least one field')
  .meta({ id: 'TokenChange' });
