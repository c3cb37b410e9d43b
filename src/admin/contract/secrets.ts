/** Secrets that stand encrypted in Postgres: their names, never their values. */
import { z } from 'zod';
import { instant, page } from './fields.ts';

const secretName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'must have 1 to 64 characters of a-z, A-Z, 0-9, _, . and -');
const value = z
  .string()
  .regex(/^[\x20-\x7e]{1,4096}$/, 'must be one line of at most 4096 characters of ASCII')
  .meta({ description: 'Never shown again' });

export const Secret = z
  .strictObject({
    name: z.string().meta({ description: 'By which tollgate.yaml names it' }),
    is_readable: z
      .boolean()
      .meta({ description: 'False: none of the master keys of this instance opens it' }),
    needs_rotation: z
      .boolean()
      .meta({ description: 'It is encrypted with another master key than the first' }),
    created_at: instant,
    changed_at: instant,
  })
  .meta({ id: 'Secret' });
export const Secrets = page(Secret);
export const NewSecret = z.strictObject({ name: secretName, value }).meta({ id: 'NewSecret' });
export const SecretChange = z.strictObject({ value }).meta({ id: 'SecretChange' });
export const SecretsRotated = z
  .strictObject({
    rotated: z.int().meta({ description: 'How many were encrypted anew' }),
    unreadable: z.array(z.string()).meta({ description: 'Names of those that no master key opens' }),
  })
  .meta({ id: 'SecretsRotated' });
