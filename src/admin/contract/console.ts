/** Signing in to the web console. */
import { z } from 'zod';
import { id, instant } from './fields.ts';

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
    team: named.nullable().meta({ description: 'Null: an admin, who sees every team' }),
    key: named.nullable(),
    csrf: z
      .string()
      .meta({ description: 'A change in this session repeats it in the header x-tollgate-csrf' }),
    expires_at: instant,
  })
  .meta({ id: 'Session' });
