/**
 * Route: labelled calls as examples for fine-tuning, one line of JSON each, of teams that keep what their calls say. A line is what the
 * call said, with the answer as it was accepted, or as it was changed.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Sealer } from '../auth/seal.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import type { EventId, TeamId } from '../domain/ids.ts';
import { chatExample } from '../openai/chat-example.ts';
import { aboutContent, addEdit, type LabelledContent, readLabelled } from '../store/contents.ts';
import type { Database } from '../store/database.ts';
import { LabelsExportQuery } from './contract.ts';
import { encoded, fileResponse, noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { dateOf } from './page.ts';
import { describeNeed, needOf } from './permissions.ts';
import { errorResponse, permittedQuery, ROOT, SECURITY } from './route.ts';

const PATH = '/labels/export';
const TYPE = 'application/jsonl';

export function labelsExportRoute(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow, accessLog, sealer = null } = options;
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: ROOT + PATH,
    summary: 'Labelled calls as examples for fine-tuning (JSON Lines, the chat format)',
    tags: ['labels'],
    description: describeNeed(needOf('get', PATH)),
    security: SECURITY,
    request: { query: LabelsExportQuery },
    responses: { 200: { description: 'Done', content: { [TYPE]: { schema: { type: 'string' } } } } },
  });
  app.get(ROOT + PATH, async (context) => {
    const query = permittedQuery(context, PATH, LabelsExportQuery);
    if (isApiError(query)) return errorResponse(context, query);
    if (sealer === null) return errorResponse(context, NO_KEY);
    const { label, from, to } = query.data;
    noteExport(accessLog, context.get('caller'), { export: 'labels', ...query.data }, query.teams);
    await settleNow();
    const labels = label === undefined ? (['accepted', 'edited'] as const) : [label];
    const range = { teamIds: query.teams, labels, from: dateOf(from ?? null), to: dateOf(to ?? null) };
    const contents = await opened(readLabelled(database.sql, range), sealer);
    if (isApiError(contents)) return errorResponse(context, contents);
    const lines = linesOf(contents, sealer);
    return fileResponse(context, 'tollgate-labels.jsonl', TYPE, encoded(lines));
  });
}

/** Contents can be neither kept nor read without the key that seals them. */
export const NO_KEY = apiError(
  'conflict',
  'contents of calls are kept encrypted alone: set TOLLGATE_ENCRYPTION_KEY or TOLLGATE_ENCRYPTION_KEY_FILE first',
);

/** Returns all from the first one on that the key opens; an error where it opens none of some. */
async function opened(
  batches: AsyncGenerator<LabelledContent[]>,
  sealer: Sealer,
): Promise<AsyncIterable<LabelledContent[]> | ApiError> {
  let isSealed = false;
  for (;;) {
    const next = await batches.next();
    if (next.done) return isSealed ? OTHER_KEY : batches;
    const first = next.value.findIndex((content) => openCall(content, sealer) !== null);
    if (first === -1) isSealed ||= next.value.length > 0;
    else return from(next.value.slice(first), batches);
  }
}

async function* from<Item>(first: Item, rest: AsyncIterable<Item>) {
  yield first;
  yield* rest;
}

const OTHER_KEY = apiError(
  'conflict',
  'what these calls said is sealed under another key than the one that is set now: set the key that was set when they were made',
);

function openCall({ teamId, eventId, call }: LabelledContent, sealer: Sealer): Buffer | null {
  return sealer.open(call, aboutContent({ teamId, eventId, part: 'call' }));
}

async function* linesOf(batches: AsyncIterable<LabelledContent[]>, sealer: Sealer) {
  for await (const contents of batches) yield contents.map((content) => lineOf(content, sealer)).join('');
}

/** Empty: it was sealed under another key, its call cannot be an example, or the label came without the edited text. */
function lineOf(content: LabelledContent, sealer: Sealer): string {
  const { teamId, eventId, label, edit } = content;
  const said = openCall(content, sealer);
  if (said === null || (label === 'edited' && edit === null)) return '';
  const about = aboutContent({ teamId, eventId, part: 'edit' });
  const edited = label === 'edited' && edit !== null ? sealer.open(edit, about) : null;
  if (label === 'edited' && edited === null) return '';
  const { request, response } = JSON.parse(said.toString()) as { request: string; response: string };
  const example = chatExample({ request, response }, edited?.toString() ?? null);
  return example === null ? '' : `${JSON.stringify(example)}\n`;
}

/** Keeps an edited answer. Returns false where its call is not kept. */
export async function keepEdit(
  { sql }: Database,
  sealer: Sealer,
  event: { teamId: TeamId; id: EventId; createdAt: Date },
  text: string,
): Promise<boolean> {
  const { teamId, id: eventId, createdAt } = event;
  const key = { teamId, eventId, part: 'edit' as const };
  const sealed = sealer.seal(Buffer.from(text), aboutContent(key));
  return addEdit(sql, { ...key, eventAtMs: createdAt.getTime(), sealed });
}
