/**
 * Contents of calls: what teams that asked for it keep of requests and responses, sealed. Does not own: sealing (auth/seal.ts), what is
 * kept (domain/contents.ts). Invariants: a row is there no longer than its team keeps contents, whatever changes; of a
 * team that keeps none, or was deleted, there is no row.
 */
import type { EventId, TeamId } from '../domain/ids.ts';
import type { Label } from '../domain/labels.ts';
import type { Sql } from './database.ts';

/** `call`: its request and response. `edit`: its edited answer. */
type ContentPart = 'call' | 'edit';

export interface NewContent {
  teamId: TeamId;
  eventId: EventId;
  part: ContentPart;
  /** When its call was admitted. */
  eventAtMs: number;
  sealed: Buffer;
}

/** What a content is sealed about. */
export function aboutContent({ teamId, eventId, part }: Pick<NewContent, 'teamId' | 'eventId' | 'part'>) {
  return `content/${teamId}/${eventId}/${part}`;
}

/** Adds contents of teams that keep them, for as long as they do. Of a call there is one of a part: the last. Returns how many were kept. */
export async function addContents(sql: Sql, contents: readonly NewContent[]): Promise<number> {
  let kept = 0;
  for (const { teamId, eventId, part, eventAtMs, sealed } of contents) {
    const at = new Date(eventAtMs).toISOString();
    const rows = await sql<{ id: string }[]>`
      insert into call_contents (team_id, event_id, part, event_at, expires_at, sealed)
      select id, ${eventId}::uuid, ${part}, ${at}::timestamptz, ${at}::timestamptz + make_interval(days => content_days),
        decode(${sealed.toString('hex')}, 'hex')
      from teams where id = ${teamId} and content_days is not null and deleted_at is null for share
      on conflict (event_id, part) do update set sealed = excluded.sealed
      returning event_id as id`;
    kept += rows.length;
  }
  return kept;
}

/** Adds the answer of a call as it was edited, in place of the one before; false: what the call said is not kept. */
export async function addEdit(sql: Sql, edit: NewContent): Promise<boolean> {
  const { teamId, eventId } = edit;
  const [call] = await sql<{ id: string }[]>`
    select event_id as id from call_contents
    where team_id = ${teamId} and event_id = ${eventId} and part = 'call' and expires_at > tollgate_now()`;
  return call !== undefined && (await addContents(sql, [edit])) > 0;
}

/** Returns how many teams want what their calls say kept. */
export async function countKeepingTeams(sql: Sql): Promise<number> {
  const [row] = await sql<{ teams: number }[]>`
    select count(*)::int4 as teams from teams where content_days is not null and deleted_at is null`;
  return row?.teams ?? 0;
}

/** Deletes contents whose time is over, some thousand in one statement. Returns how many. */
export async function pruneContents(sql: Sql): Promise<number> {
  const rows = await sql<{ id: string }[]>`
    delete from call_contents where (event_id, part) in (
      select event_id, part from call_contents where expires_at <= tollgate_now() limit ${PRUNED_AT_ONCE})
    returning event_id as id`;
  return rows.length;
}

export const PRUNED_AT_ONCE = 1_000;

/** Returns what one call said, sealed, and its edited answer; null: it is not kept. */
export async function readContent(
  sql: Sql,
  { teamId, id }: { teamId: TeamId; id: EventId },
): Promise<Record<ContentPart, Buffer | null> | null> {
  const rows = await sql<{ part: ContentPart; sealed: Buffer }[]>`
    select part, sealed from call_contents
    where team_id = ${teamId} and event_id = ${id} and expires_at > tollgate_now()`;
  const parts = new Map(rows.map(({ part, sealed }) => [part, sealed]));
  return rows.length === 0 ? null : { call: parts.get('call') ?? null, edit: parts.get('edit') ?? null };
}

export interface LabelledContent {
  teamId: TeamId;
  eventId: EventId;
  label: Label;
  /** Sealed. */
  call: Buffer;
  edit: Buffer | null;
}

interface LabelledRange {
  teamIds: readonly TeamId[] | undefined;
  labels: readonly Label[];
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
}

/** Rows read at once; each may have a megabyte. */
const ROWS = 20;

interface Row {
  team_id: TeamId;
  event_id: EventId;
  event_at: Date;
  /** To the microsecond. */
  at: string;
  sealed: Buffer;
  edit: Buffer | null;
}

/** Yields the contents of calls whose last label is one of these, oldest call first. */
export async function* readLabelled(sql: Sql, range: LabelledRange): AsyncGenerator<LabelledContent[]> {
  const { teamIds, labels, from, to } = range;
  const ofTeams = teamIds === undefined ? sql`` : sql`and c.team_id = any(${teamIds}::text[]::uuid[])`;
  const since = from === null ? sql`` : sql`and c.event_at >= ${from.toISOString()}::timestamptz`;
  const until = to === null ? sql`` : sql`and c.event_at < ${to.toISOString()}::timestamptz`;
  let [moment, id] = ['-infinity', '00000000-0000-0000-0000-000000000000'];
  for (;;) {
    const rows = await sql<Row[]>`
      select c.team_id, c.event_id, c.event_at, c.event_at::text as at, c.sealed, d.sealed as edit
      from call_contents c
      left join call_contents d on d.team_id = c.team_id and d.event_id = c.event_id and d.part = 'edit'
        and d.expires_at > tollgate_now()
      where c.part = 'call' and c.expires_at > tollgate_now() ${ofTeams} ${since} ${until}
        and (c.event_at, c.event_id) > (${moment}::timestamptz, ${id}::uuid)
      order by c.event_at, c.event_id limit ${ROWS}`;
    const last = rows.at(-1);
    if (last === undefined) return;
    yield await labelled(sql, rows, labels);
    if (rows.length < ROWS) return;
    [moment, id] = [last.at, last.event_id];
  }
}

/** Labels lie with the events of their team, contents do not: they are read apart. */
async function labelled(sql: Sql, rows: Row[], wanted: readonly Label[]): Promise<LabelledContent[]> {
  const given = await sql<{ event_id: EventId; label: Label }[]>`
    select event_id, (array_agg(label order by created_at desc, id desc))[1] as label from labels
    where team_id = any(${rows.map((row) => row.team_id)}::text[]::uuid[])
      and event_id = any(${rows.map((row) => row.event_id)}::text[]::uuid[]) group by event_id`;
  const last = new Map(given.map(({ event_id: eventId, label }) => [eventId, label]));
  return rows.flatMap(({ team_id: teamId, event_id: eventId, sealed: call, edit }) => {
    const label = last.get(eventId);
    return label === undefined || !wanted.includes(label) ? [] : [{ teamId, eventId, label, call, edit }];
  });
}
