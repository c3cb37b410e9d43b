/** The store's history: whether it lends, and what it has lost. */
import { z } from 'zod';
import { id, instant, label, money } from './fields.ts';

const eventNumber = z.int().min(0).meta({ description: 'Events of an instance are numbered from 1' });

export const StoreState = z
  .strictObject({
    is_lending: z.boolean().meta({ description: 'False: calls get ledger_unavailable' }),
    epoch: id.meta({
      description: 'Another one begins when the database turns out to have forgotten something',
    }),
    reason: z.string().meta({ description: 'Why the epoch began' }),
    began_at: instant,
    lending_since: instant.nullable(),
    timeline: z.int().meta({ description: 'Of the server; a promotion raises it' }),
    accepted_by: z.string().nullable(),
    accepted_reason: z.string().nullable(),
    awaited: z
      .array(
        z.strictObject({
          instance_id: id,
          started_at: instant,
          heartbeat_at: instant,
          events: eventNumber.meta({ description: 'The number of its last event that is here' }),
          known_events: eventNumber.meta({ description: 'The last that another instance had heard of' }),
          leased_usd: money.meta({ description: 'What stays charged if it never comes back' }),
        }),
      )
      .meta({
        description:
          'Instances that have to put back, or whose journal has to be adopted, before money is lent',
      }),
    gaps: z
      .array(z.strictObject({ instance_id: id, first: eventNumber, last: eventNumber, noted_at: instant }))
      .meta({ description: 'Events that are in no journal any more' }),
    lost_changes: z.array(z.record(z.string(), z.unknown())).meta({
      description: 'Entries of the audit log that this epoch has forgotten: make these changes again',
    }),
  })
  .meta({ id: 'StoreState' });

export const AcceptLoss = z
  .strictObject({ reason: label(1_000).meta({ description: 'Why the awaited instances will not put back' }) })
  .meta({ id: 'AcceptLoss' });
