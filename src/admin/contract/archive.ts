/** The archive: from which moment on events are in the ledger, and the months that are files. */
import { z } from 'zod';
import { instant, money, teamId, tokenCount } from './fields.ts';

export const ArchiveQuery = z.strictObject({
  team_id: teamId
    .optional()
    .meta({ description: 'With it the months are left out: their sums are of all teams' }),
});

export const Archive = z
  .strictObject({
    events_since: instant.nullable().meta({
      description:
        'Events of before are archived; sums of usage, charges and statements have them still. Null: none are',
    }),
    months: z.array(
      z.strictObject({
        month: z.string().meta({ description: 'In UTC', example: '2026-08' }),
        events: tokenCount,
        cost_usd: money.meta({ description: 'As the events charged, without corrections' }),
        files: z.int().min(0),
        folder: z
          .string()
          .meta({ description: 'On the instance that wrote it; the manifest in it has checksums' }),
        manifest_sha256: z.string().nullable(),
        archived_at: instant.nullable().meta({ description: 'Null: it waits' }),
        waits_for: z.string().nullable().meta({ description: 'Why it is not archived yet' }),
      }),
    ),
  })
  .meta({ id: 'Archive' });
