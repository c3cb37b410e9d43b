/**
 * Labels: what people say of the output of calls. Invariant: a labeller has one label for a call, the last one given; the call's
 * event stays as it is.
 */
import { randomUUID } from 'node:crypto';
import { and, asc, desc, eq, inArray, type SQL, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import type { EventId, TeamId } from '../domain/ids.ts';
import type { Label } from '../domain/labels.ts';
import { type After, clock, isAfter, type Order } from './changes.ts';
import { type Database, runOn } from './database.ts';
import { labels } from './schema.ts';

export type LabelRow = typeof labels.$inferSelect;

export interface NewLabel {
  event: { teamId: TeamId; id: EventId; createdAt: Date };
  labeller: string;
  label: Label;
  reason: string | null;
}

/** Sets a labeller's label of a call, in place of the one before. */
export async function setLabel(database: Database, { event, ...given }: NewLabel): Promise<LabelRow> {
  const createdAt = await clock(database.db);
  const [row] = await database.db
    .insert(labels)
    .values({
      teamId: event.teamId,
      id: randomUUID(),
      eventId: event.id,
      eventAt: event.createdAt,
      ...given,
      createdAt,
    })
    .onConflictDoUpdate({
      target: [labels.teamId, labels.eventId, labels.labeller],
      set: { label: given.label, reason: given.reason, createdAt },
    })
    .returning();
  return defined(row, 'the row of the statement');
}

/** Reads labels by the time when they were given. */
export function listLabels(
  database: Database,
  page: {
    after: After | null;
    limit: number;
    teamIds: readonly TeamId[] | undefined;
    eventId: EventId | undefined;
    label: Label | undefined;
    order: Order;
  },
): Promise<LabelRow[]> {
  const by = page.order === 'asc' ? asc : desc;
  return database.db
    .select()
    .from(labels)
    .where(
      and(
        isAfter(labels, page.after, page.order),
        page.teamIds && inArray(labels.teamId, [...page.teamIds]),
        page.eventId === undefined ? undefined : eq(labels.eventId, page.eventId),
        page.label === undefined ? undefined : eq(labels.label, page.label),
      ),
    )
    .orderBy(by(labels.createdAt), by(labels.id))
    .limit(page.limit);
}

/** What a model's labelled calls cost, and what people said of them. Where several labelled one call, the last counts. */
export interface LabelSums {
  model: string;
  labelled: number;
  accepted: number;
  edited: number;
  rejected: number;
  /** Decimal USD of all labelled calls, corrections included. */
  costUsd: string;
  /** Calls with labels of several people, and those on which all agree. */
  shared: number;
  agreed: number;
}

/** Sums labels by the model of the call, of calls that were admitted in a range. @param to exclusive */
export async function sumLabels(
  database: Database,
  {
    teamIds,
    from,
    to,
    tag,
  }: {
    teamIds: readonly TeamId[] | undefined;
    from: Date | null;
    to: Date | null;
    /** Calls with this tag; missing: all. */
    tag?: { name: string; value: string | null } | undefined;
  },
): Promise<LabelSums[]> {
  const at = (moment: Date) => sql`${moment.toISOString()}::timestamptz`;
  const conditions: SQL[] = [
    ...(teamIds === undefined ? [] : [inArray(sql`l.team_id`, [...teamIds])]),
    ...(from === null ? [] : [sql`l.event_at >= ${at(from)}`]),
    ...(to === null ? [] : [sql`l.event_at < ${at(to)}`]),
  ];
  const ofTag = tag === undefined ? sql`true` : sql`e.tags ->> ${tag.name} = ${tag.value ?? ''}`;
  const selected = conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `);
  return runOn(database.db)<LabelSums & Record<string, unknown>>(sql`
    with calls as (
      select l.team_id, l.event_id, l.event_at, count(*) as labels, count(distinct l.label) as opinions,
        (array_agg(l.label order by l.created_at desc, l.id desc))[1] as label
      from labels l where ${selected} group by 1, 2, 3
    )
    select e.model, count(*)::int4 as labelled,
      (count(*) filter (where c.label = 'accepted'))::int4 as accepted,
      (count(*) filter (where c.label = 'edited'))::int4 as edited,
      (count(*) filter (where c.label = 'rejected'))::int4 as rejected,
      sum(e.cost_usd + coalesce((
        select sum(a.delta_usd) from adjustments a where a.team_id = e.team_id and a.event_id = e.id
      ), 0))::text as "costUsd",
      (count(*) filter (where c.labels > 1))::int4 as shared,
      (count(*) filter (where c.labels > 1 and c.opinions = 1))::int4 as agreed
    from calls c
    join usage_events e on e.team_id = c.team_id and e.id = c.event_id and e.created_at = c.event_at
    where ${ofTag} group by e.model order by e.model`);
}
