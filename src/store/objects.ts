/** Objects that did not pass through and belong to a team on an administrator's word. Calls find them in hot/objects.ts. */
import { and, eq, sql } from 'drizzle-orm';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { historyOf, newConversation } from '../domain/kept.ts';
import { EVERY_TEAM, type RecordedKind } from '../domain/objects.ts';
import { addAccess } from './audit.ts';
import { changeCatalog, lockTeam } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { NO_END_MS, RESPONSE_MS } from './hot/objects.ts';
import { objects, teams } from './schema.ts';

export type ObjectRow = Pick<typeof objects.$inferSelect, 'kind' | 'id' | 'teamId' | 'createdAt'>;

export interface AdoptedObject {
  kind: RecordedKind;
  id: string;
  /** Null: every team may use it, and none may change it. */
  teamId: TeamId | null;
  /** The most that it is as input of any model; null: not known, so it weighs the model's window. */
  tokens: number | null;
  /** Name of the upstream that keeps it, of several; null: the first. */
  upstream: string | null;
  /** It may be given to this team also where another team has it. */
  mayShare: boolean;
}

/**
 * Records an object for a team, or for all. Returns `not_found` without the team, `conflict` where the team has it already,
 * `not_allowed` where another team has it and it may not be shared, and `invalid_request` for one that grows with every call,
 * which only one team can have.
 */
export function adoptObject(
  database: Database,
  actor: string,
  { kind, id, teamId, tokens, upstream, mayShare }: AdoptedObject,
): Promise<ObjectRow | ApiError> {
  return changeCatalog(database, async (tx, now) => {
    const isWeighed = kind === 'response' || kind === 'conversation';
    if (teamId === null && isWeighed) {
      const message = `a ${kind} belongs to one team: name it, for what it weighs is counted there`;
      return apiError('invalid_request', message, { param: 'team_id' });
    }
    const problem = teamId === null ? null : await lockTeam(tx, teamId, 'team_id');
    if (problem) return problem;
    const owner = teamId ?? EVERY_TEAM;
    const isSame = and(eq(objects.teamId, owner), eq(objects.kind, kind), eq(objects.id, id));
    const [before] = await tx.select({ id: objects.id }).from(objects).where(isSame).limit(1);
    if (before) {
      const who = teamId === null ? 'every team has' : 'the team has';
      return apiError('conflict', `${who} the ${kind} ${id} already`, { param: 'id' });
    }
    if (!mayShare && (await isOfAnyTeam(tx, kind, id))) {
      const message = `the ${kind} ${id} is another team's: to share it, a role for the whole organisation or the admin key is needed`;
      return apiError('not_allowed', message, { param: 'id' });
    }
    const row = { kind, id, teamId: owner, createdAt: now };
    await tx.insert(objects).values({
      ...row,
      expiresAt: new Date(kind === 'response' ? now.getTime() + RESPONSE_MS : NO_END_MS),
      names: [],
      upstream,
      weight: weightOf(kind, tokens),
    });
    const after = { kind, id, max_tokens: tokens, ...(upstream === null ? null : { upstream }) };
    await addAccess(tx, { actor, action: 'create', resource: 'object', resourceId: id, teamId, after });
    return row;
  });
}

/** Asks by team: the key of this large table begins with it, and no index by the id alone is worth its upkeep. */
async function isOfAnyTeam(tx: Transaction, kind: RecordedKind, id: string): Promise<boolean> {
  const rows = await tx.select({ id: teams.id }).from(teams);
  const teamIds = sql.param([EVERY_TEAM, ...rows.map((row) => row.id)]);
  const isSame = sql`${objects.teamId} = any(${teamIds}::uuid[]) and ${objects.kind} = ${kind} and ${objects.id} = ${id}`;
  const [found] = await tx.select({ id: objects.id }).from(objects).where(isSame).limit(1);
  return found !== undefined;
}

function weightOf(kind: RecordedKind, tokens: number | null): object {
  const history = historyOf(tokens);
  if (kind === 'conversation') return newConversation(history);
  return kind === 'response'
    ? { history, inputTokens: 0, outputTokens: 0, reasoningTokens: 0, items: [] }
    : {};
}
