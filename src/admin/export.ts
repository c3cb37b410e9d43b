/** What all exports share: their entry in the audit log, and the response as a file. */
import type { Context } from 'hono';
import type { AccessLog } from '../auth/access-log.ts';
import { asId } from '../domain/ids.ts';
import type { Caller } from './scope.ts';

/** The exports of each team, and those of all admins, are bounded together. */
export function noteExport(
  accessLog: AccessLog,
  { team, actor }: Caller,
  filter: Record<string, unknown>,
): void {
  accessLog.note(`export ${team}`, {
    actor,
    action: 'export',
    resource: 'event',
    resourceId: '',
    teamId: team === null ? null : asId(team),
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

async function* encoded(chunks: AsyncIterable<string>) {
  const encoder = new TextEncoder();
  for await (const chunk of chunks) yield encoder.encode(chunk);
}
