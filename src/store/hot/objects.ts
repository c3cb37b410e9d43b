/**
 * Objects: what the upstream keeps for a team, and what it weighs. Owns: how a call finds them, how the flush writes them,
 * and the calls that are under way in a conversation. Invariants: only the team that made an object finds it; a call is
 * among those of its conversation before it is forwarded, and leaves them in the transaction that inserts its event.
 */

import { momentOfUuidV7, type TeamId } from '../../domain/ids.ts';
import {
  afterCall,
  afterItems,
  afterLostCall,
  type Conversation,
  type ConversationCall,
  type KeptResponse,
} from '../../domain/kept.ts';
import { EVERY_TEAM, type RecordedKind } from '../../domain/objects.ts';
import { retried, type Sql, type TransactionSql } from '../database.ts';
import {
  type StoredObject,
  storedConversation,
  storedConversationCall,
  storedObject,
} from '../stored-json.ts';
import type { FlushEvent } from './batch.ts';
import { beginSessions, type UsedContainer } from './containers.ts';
import { type FoundResponse, findItems, findResponses, othersItems } from './response-items.ts';

/**
 * OpenAI keeps a response for 30 days, and what belongs to a conversation without end (its guide to conversation state,
 * read in November 2026).
 */
export const RESPONSE_MS = 30 * 24 * 60 * 60 * 1000;
/** Of what has no end; lies in the partition `objects_kept`. */
export const NO_END_MS = Date.UTC(9999, 11, 31);

/** By then a call is over, whatever became of it: the API ends its requests within minutes. */
const CALL_OVER = '24 hours';
/** For so long an object that has ended is known. */
const ENDED = '30 days';

/** A conversation as it was before a call began in it. */
export interface ConversationView {
  conversation: Conversation;
  /** The new call's place among all that began in it. */
  order: number;
  /** Calls that may be under way in it on any replica, the new one not among them. */
  calls: ConversationCall[];
}

/** An object of which only the team is recorded, and what is shown of it. */
export interface NewObject {
  kind: RecordedKind;
  id: string;
  createdMs: number;
  expiresMs: number;
  weight: object;
  /** Names of the items in it; missing: none. */
  names?: readonly string[];
  /** Name of the upstream that keeps it; null: there is one. */
  upstream: string | null;
}

/** Records an object for its team. Does nothing where the team has it. */
async function addObject(sql: Sql, teamId: TeamId, object: NewObject): Promise<void> {
  const { kind, id, createdMs, expiresMs, weight, names = [], upstream } = object;
  await sql`
    insert into objects (team_id, kind, id, created_at, expires_at, names, weight, upstream)
    values (${teamId}, ${kind}, ${id}, ${new Date(createdMs)}, ${new Date(expiresMs)}, ${[...names]}::text[],
      ${JSON.stringify(weight)}::text::jsonb, ${upstream})
    on conflict do nothing`;
}

/** An object that a team may use. */
export interface OwnedObject {
  kind: RecordedKind;
  id: string;
  /** It is the team's own; otherwise every team may use it. */
  isOwn: boolean;
  /** Of a container its memory; null: it is none, or not known. */
  memoryGib: number | null;
}

/** Returns those of the objects that a team may use. */
async function findObjects(
  sql: Sql,
  teamId: TeamId,
  kinds: readonly RecordedKind[],
  ids: readonly string[],
): Promise<OwnedObject[]> {
  return await sql<OwnedObject[]>`
    select kind, id, bool_or(team_id = ${teamId}) as "isOwn", max((weight ->> 'memory_gib')::float8) as "memoryGib"
    from objects
    where team_id in (${teamId}, ${EVERY_TEAM}) and kind = any(${[...kinds]}::text[])
      and id = any(${[...ids]}::text[]) and expires_at > tollgate_now()
    group by kind, id`;
}

/** An object's upstream by name; null: it was made while there was one. */
export interface KeptAt {
  upstream: string | null;
}

/** Returns where those objects are kept that a team may use and that bear one of the names, or have an item that does. */
async function findKeepers(sql: Sql, teamId: TeamId, names: readonly string[]): Promise<KeptAt[]> {
  return await sql<KeptAt[]>`
    select distinct upstream from objects
    where team_id in (${teamId}, ${EVERY_TEAM}) and expires_at > tollgate_now()
      and (id = any(${[...names]}::text[]) or names && ${[...names]}::text[])`;
}

async function findFile(sql: Sql, teamId: TeamId, id: string): Promise<unknown> {
  const [row] = await sql<{ weight: unknown }[]>`
    select weight from objects
    where team_id in (${teamId}, ${EVERY_TEAM}) and kind = 'file' and id = ${id} and expires_at > tollgate_now()`;
  return row?.weight ?? null;
}

/** Returns those of the names that are models which other teams' jobs have made, and no admin has given to this one. */
async function othersModels(sql: Sql, teamId: TeamId, ids: readonly string[]): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from objects
    where kind = 'model' and id = any(${[...ids]}::text[]) and expires_at > tollgate_now()
    group by id having not bool_or(team_id in (${teamId}, ${EVERY_TEAM}))`;
  return rows.map(({ id }) => id);
}

/** Forgets an object that has ended upstream, after a while in which it may still be the cursor of a list. */
async function endObject(sql: Sql, teamId: TeamId, kind: RecordedKind, id: string): Promise<void> {
  await sql`
    update objects set expires_at = tollgate_now() + ${ENDED}::interval
    where team_id = ${teamId} and kind = ${kind} and id = ${id} and expires_at > tollgate_now() + ${ENDED}::interval`;
}

/** Adds what was put into a conversation to its weight. */
async function addItems(
  sql: Sql,
  teamId: TeamId,
  conversationId: string,
  tokens: number | null,
): Promise<void> {
  await sql.begin(async (tx) => {
    const before = await lockConversation(tx, teamId, conversationId);
    if (before !== null) await writeConversation(tx, teamId, conversationId, afterItems(before, tokens));
  });
}

/**
 * Adds a call to those of its conversation. Returns what was there before; null: the team has no such conversation.
 */
async function beginConversationCall(
  sql: Sql,
  teamId: TeamId,
  conversationId: string,
  callId: string,
  call: Omit<ConversationCall, 'addedBefore'>,
): Promise<ConversationView | null> {
  return await sql.begin(async (tx) => {
    const before = await lockConversation(tx, teamId, conversationId);
    if (before === null) return null;
    const conversation = await endLostCalls(tx, teamId, conversationId, before);
    const rows = await tx<{ weight: unknown }[]>`
      select weight from conversation_calls where team_id = ${teamId} and conversation_id = ${conversationId}`;
    const own: ConversationCall = { ...call, addedBefore: conversation.addedTokens };
    await tx`
      insert into conversation_calls (team_id, conversation_id, id, started_at, weight)
      values (${teamId}, ${conversationId}, ${callId}, tollgate_now(), ${JSON.stringify(own)}::text::jsonb)`;
    const order = conversation.begun + 1;
    await writeConversation(tx, teamId, conversationId, { ...conversation, begun: order });
    return { conversation, order, calls: rows.map(({ weight }) => storedConversationCall.parse(weight)) };
  });
}

/** How many calls have begun in a conversation by now. */
async function callsBegun(sql: Sql, teamId: TeamId, conversationId: string): Promise<number> {
  const [row] = await sql<{ begun: number }[]>`
    select (weight ->> 'begun')::float8 as begun from objects
    where team_id = ${teamId} and kind = 'conversation' and id = ${conversationId}`;
  return row?.begun ?? 0;
}

/** Takes back a call that was not forwarded. */
async function cancelConversationCall(
  sql: Sql,
  teamId: TeamId,
  conversationId: string,
  callId: string,
): Promise<void> {
  await sql`
    delete from conversation_calls
    where team_id = ${teamId} and conversation_id = ${conversationId} and id = ${callId}`;
}

async function lockConversation(
  tx: TransactionSql,
  teamId: TeamId,
  conversationId: string,
): Promise<Conversation | null> {
  const [row] = await tx<{ weight: unknown }[]>`
    select weight from objects where team_id = ${teamId} and kind = 'conversation' and id = ${conversationId} for update`;
  return row ? storedConversation.parse(row.weight) : null;
}

async function writeConversation(
  tx: TransactionSql,
  teamId: TeamId,
  conversationId: string,
  conversation: Conversation,
): Promise<void> {
  await tx`
    update objects set weight = ${JSON.stringify(conversation)}::text::jsonb
    where team_id = ${teamId} and kind = 'conversation' and id = ${conversationId}`;
}

async function endLostCalls(
  tx: TransactionSql,
  teamId: TeamId,
  conversationId: string,
  before: Conversation,
): Promise<Conversation> {
  const lost = await tx<{ weight: unknown }[]>`
    delete from conversation_calls
    where team_id = ${teamId} and conversation_id = ${conversationId}
      and started_at < tollgate_now() - ${CALL_OVER}::interval
    returning weight`;
  if (lost.length === 0) return before;
  let conversation = before;
  for (const { weight } of lost)
    conversation = afterLostCall(conversation, storedConversationCall.parse(weight));
  return conversation;
}

const CLOSING_BRACE = 0x7d;

type EventRow = Pick<FlushEvent, 'id' | 'teamId' | 'json'>;

/** Only an event that left something upstream ends in two braces: that is its last member (ledger/events.ts). */
function objectOf({ json }: EventRow): (StoredObject & KeptAt) | null {
  if (json.at(-1) !== CLOSING_BRACE || json.at(-2) !== CLOSING_BRACE) return null;
  const { object, upstream } = JSON.parse(json.toString()) as { object?: unknown; upstream?: unknown };
  const read = storedObject.safeParse(object);
  return read.success ? { ...read.data, upstream: typeof upstream === 'string' ? upstream : null } : null;
}

/** Writes what new events left upstream, in their transaction. */
export async function keepObjects(tx: TransactionSql, events: readonly EventRow[]): Promise<void> {
  const kept = events.flatMap((event) => {
    const object = objectOf(event);
    return object === null ? [] : [{ event, object }];
  });
  if (kept.length === 0) return;
  const rows = kept.flatMap(({ event, object }) => rowOf(event, object));
  if (rows.length > 0) {
    await tx`
      insert into objects
      select * from json_populate_recordset(null::objects, ${JSON.stringify(rows)}::text::json)
      on conflict do nothing`;
  }
  // In one order, like all locks.
  const ended = kept.flatMap(({ event: { teamId }, object: { conversation, response } }) =>
    conversation === null ? [] : [{ teamId, ...conversation, response }],
  );
  ended.sort((a, b) => (a.teamId + a.id < b.teamId + b.id ? -1 : 1));
  for (const { teamId, id, call, response } of ended) await endCall(tx, teamId, id, call, response);
}

function rowOf(
  { id: eventId, teamId }: EventRow,
  { id, kind, response, conversation, upstream }: StoredObject & KeptAt,
) {
  if (id === null || (response === null && kind === undefined)) return [];
  const createdMs = momentOfUuidV7(eventId);
  return [
    {
      team_id: teamId,
      kind: kind ?? ('response' satisfies RecordedKind),
      id,
      created_at: new Date(createdMs).toISOString(),
      expires_at: new Date(conversation === null ? createdMs + RESPONSE_MS : NO_END_MS).toISOString(),
      names: response?.items.flatMap((item) => item.names) ?? [],
      weight: response ?? {},
      upstream,
    },
  ];
}

async function endCall(
  tx: TransactionSql,
  teamId: TeamId,
  conversationId: string,
  callId: string,
  response: KeptResponse | null,
): Promise<void> {
  const conversation = await lockConversation(tx, teamId, conversationId);
  const [row] = await tx<{ weight: unknown }[]>`
    delete from conversation_calls
    where team_id = ${teamId} and conversation_id = ${conversationId} and id = ${callId} returning weight`;
  if (conversation === null || row === undefined || response === null) return;
  const after = afterCall(conversation, storedConversationCall.parse(row.weight), response);
  await writeConversation(tx, teamId, conversationId, after);
}

/** The rows of objects, as calls ask for them; each statement is tried again when Postgres asks for it. */
export class PostgresObjectStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  findResponses(teamId: TeamId, names: readonly string[]): Promise<FoundResponse[]> {
    return retried(() => findResponses(this.#sql, teamId, names));
  }

  findItems(
    teamId: TeamId,
    names: readonly string[],
    shown: readonly string[],
  ): Promise<{ responses: FoundResponse[]; others: string[] }> {
    return retried(() => findItems(this.#sql, teamId, names, shown));
  }

  beginConversationCall(
    teamId: TeamId,
    conversationId: string,
    callId: string,
    call: Omit<ConversationCall, 'addedBefore'>,
  ): Promise<ConversationView | null> {
    return retried(() => beginConversationCall(this.#sql, teamId, conversationId, callId, call));
  }

  addObject(teamId: TeamId, object: NewObject): Promise<void> {
    return retried(() => addObject(this.#sql, teamId, object));
  }

  findObjects(
    teamId: TeamId,
    kinds: readonly RecordedKind[],
    ids: readonly string[],
  ): Promise<OwnedObject[]> {
    return retried(() => findObjects(this.#sql, teamId, kinds, ids));
  }

  findKeepers(teamId: TeamId, names: readonly string[]): Promise<KeptAt[]> {
    return retried(() => findKeepers(this.#sql, teamId, names));
  }

  beginSessions(
    teamId: TeamId,
    containers: readonly UsedContainer[],
    atMs: number,
    callId: string,
  ): Promise<number | null> {
    return retried(() => beginSessions(this.#sql, teamId, containers, atMs, callId));
  }

  findFile(teamId: TeamId, id: string): Promise<unknown> {
    return retried(() => findFile(this.#sql, teamId, id));
  }

  othersModels(teamId: TeamId, ids: readonly string[]): Promise<string[]> {
    return retried(() => othersModels(this.#sql, teamId, ids));
  }

  othersItems(teamId: TeamId, names: readonly string[]): Promise<string[]> {
    return retried(() => othersItems(this.#sql, teamId, names));
  }

  endObject(teamId: TeamId, kind: RecordedKind, id: string): Promise<void> {
    return retried(() => endObject(this.#sql, teamId, kind, id));
  }

  addItems(teamId: TeamId, conversationId: string, tokens: number | null): Promise<void> {
    return retried(() => addItems(this.#sql, teamId, conversationId, tokens));
  }

  callsBegun(teamId: TeamId, conversationId: string): Promise<number> {
    return retried(() => callsBegun(this.#sql, teamId, conversationId));
  }

  cancelConversationCall(teamId: TeamId, conversationId: string, callId: string): Promise<void> {
    return retried(() => cancelConversationCall(this.#sql, teamId, conversationId, callId));
  }
}
