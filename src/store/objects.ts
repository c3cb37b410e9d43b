/** Objects that did not pass through and belong to a team on an administrator's word. Calls find them in hot/objects.ts. */
import { and, eq } from 'drizzle-orm';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { historyOf, newConversation, type RecordedKind } from '../domain/kept.ts';
import { addAccess } from './audit.ts';
import { changeCatalog, lockTeam } from './changes.ts';
import type { Database } from './database.ts';
import { NO_END_MS, RESPONSE_MS } from './hot/objects.ts';
import { objects } from './schema.ts';

export type ObjectRow = Pick<typeof objects.$inferSelect, 'kind' | 'id' | 'teamId' | 'createdAt'>;

export interface AdoptedObject {
  kind: RecordedKind;
  id: string;
  teamId: TeamId;
  /** The most that it is as input of any model; null: not known, so it weighs the model's window. */
  tokens: number | null;
}

/** Records an object for a team. Returns `not_found` without the team, and `conflict` where the team has it already. */
export function adoptObject(
  database: Database,
  actor: string,
  { kind, id, teamId, tokens }: AdoptedObject,
): Promise<ObjectRow | ApiError> {
  return changeCatalog(database, async (tx, now) => {
    const problem = await lockTeam(tx, teamId, 'team_id');
    if (problem) return problem;
    const isSame = and(eq(objects.teamId, teamId), eq(objects.kind, kind), eq(objects.id, id));
    const [before] = await tx.select({ id: objects.id }).from(objects).where(isSame).limit(1);
    if (before) return apiError('conflict', `the team has the ${kind} ${id} already`, { param: 'id' });
    const history = historyOf(tokens);
    const response = { history, inputTokens: 0, outputTokens: 0, reasoningTokens: 0, items: [] };
    const row = { kind, id, teamId, createdAt: now };
    await tx.insert(objects).values({
      ...row,
      expiresAt: new Date(kind === 'conversation' ? NO_END_MS : now.getTime() + RESPONSE_MS),
      names: [],
      weight: kind === 'conversation' ? newConversation(history) : response,
    });
    const after = { kind, id, max_tokens: tokens };
    await addAccess(tx, { actor, action: 'create', resource: 'object', resourceId: id, teamId, after });
    return row;
  });
}
