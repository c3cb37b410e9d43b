/** What all exports share: their entry in the audit log, and the response as a file. */
import type { Context } from 'hono';
import type { AccessLog } from '../auth/access-log.ts';
import type { TeamId } from '../domain/ids.ts';
import { type Caller, onlyTeam } from './scope.ts';

/**
 * The exports of each person and of each team, and those of the admin key, are bounded together. `teams`: those whose calls
 * may be in it; undefined: all. `kind`: what is bounded together, so that one who reads a hundred calls hides no export.
 */
export function noteExport(
  accessLog: AccessLog,
  caller: Caller,
  given: Record<string, unknown>,
  teams: readonly TeamId[] | undefined,
  kind: 'export' | 'reading' = 'export',
): void {
  const team = onlyTeam(caller);
  const of = teams === undefined ? {} : teams.length === 1 ? { team_id: teams[0] } : { team_ids: teams };
  const filter = { ...given, ...of };
  accessLog.note(`${kind} ${caller.personId ?? team}`, {
    actor: caller.actor,
    action: 'export',
    resource: 'event',
    resourceId: '',
    teamId: team,
    after: { filter },
  });
}

/** Returns lines of comma-separated values, the first of which is their header, as a file of this name. */
export function csvResponse(context: Context, fileName: string, chunks: AsyncIterable<string>): Response {
  return fileResponse(context, fileName, 'text/csv; charset=utf-8; header=present', encoded(chunks));
}

/** Returns bytes as a file of this name, sent as they come. */
export function fileResponse(
  context: Context,
  fileName: string,
  type: string,
  chunks: AsyncIterable<Uint8Array>,
): Response {
  context.header('content-type', type);
  context.header('content-disposition', `attachment; filename="${fileName}"`);
  return context.body(ReadableStream.from(chunks));
}

/** Returns texts as bytes. */
export async function* encoded(chunks: AsyncIterable<string>) {
  const encoder = new TextEncoder();
  for await (const chunk of chunks) yield encoder.encode(chunk);
}
