/** Route: what one call said, of a team that keeps it: for who checks its answer. Each reading stands in the audit log. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import type { Sealer } from '../auth/seal.ts';
import { asId, type EventId, type TeamId } from '../domain/ids.ts';
import { chatExample } from '../openai/chat-example.ts';
import { aboutContent, readContent } from '../store/contents.ts';
import type { Database } from '../store/database.ts';
import { findEvent } from '../store/events.ts';
import { CallContent } from './contract.ts';
import { noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { route } from './route.ts';

type Content = z.input<typeof CallContent>;

export function contentRoute(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow, accessLog, sealer = null } = options;
  const find = async (id: string) => {
    await settleNow();
    return findEvent(database.db, asId(id));
  };
  route(
    app,
    {
      method: 'get',
      path: '/events/{id}/content',
      summary: 'Show what one call said, of a team that keeps it',
      response: CallContent,
      ownerOfItem: async (id) => (await find(id))?.teamId ?? null,
    },
    async ({ id, caller }) => {
      const event = await find(id);
      if (event === null) return null;
      const content = await contentOf(database, sealer, event);
      if (content.state === 'kept')
        noteExport(accessLog, caller, { export: 'content', call_id: id }, [event.teamId], 'reading');
      return content;
    },
  );
}

async function contentOf(
  { sql }: Database,
  sealer: Sealer | null,
  event: { teamId: TeamId; id: EventId },
): Promise<Content> {
  const nothing = { request: null, response: null, example: null, edited_text: null };
  const { teamId, id: eventId } = event;
  const kept = await readContent(sql, event);
  if (kept?.call == null) return { call_id: eventId, state: 'not_kept', ...nothing };
  const open = (part: 'call' | 'edit') => {
    const sealed = kept[part];
    return (sealed && sealer?.open(sealed, aboutContent({ teamId, eventId, part })))?.toString() ?? null;
  };
  const call = open('call');
  if (call === null) return { call_id: eventId, state: 'other_key', ...nothing };
  const said = JSON.parse(call) as { request: string; response: string };
  const example = chatExample(said, null) as Content['example'];
  return { call_id: eventId, state: 'kept', ...said, example, edited_text: open('edit') };
}
