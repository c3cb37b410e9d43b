/** Route: all calls as comma-separated values, streamed. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { csvLine } from '../domain/csv.ts';
import { isApiError } from '../domain/errors.ts';
import { departmentPath } from '../store/charges.ts';
import type { Database } from '../store/database.ts';
import { type EventPage, type EventRow, listEvents } from '../store/events.ts';
import { readNames } from '../store/names.ts';
import { EventsCsvQuery } from './contract.ts';
import { selectionOf, toEvents } from './events.ts';
import { csvResponse, noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { describeNeed, needOf } from './permissions.ts';
import { errorResponse, permittedQuery, ROOT, SECURITY } from './route.ts';

/** Rows read at once: this bounds the memory of a download of any length. */
const ROWS = 1_000;

const COLUMNS = [
  'created_at',
  'id',
  'team_id',
  'team_name',
  'key_id',
  'key_name',
  'operation',
  'model',
  'response_model',
  'service_tier',
  'stream',
  'end_user',
  'outcome',
  'provenance',
  'reason',
  'upstream',
  'upstream_status',
  'upstream_request_id',
  'input_tokens',
  'cached_input_tokens',
  'cache_write_tokens',
  'output_tokens',
  'reasoning_tokens',
  'quantities',
  'cost_usd',
  'adjusted_usd',
  'hold_usd',
  'tags',
  'department_path',
  'on_exhausted',
] as const;

const PATH = '/events.csv';

export function eventsCsvRoute(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow, accessLog } = options;
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: ROOT + PATH,
    summary: 'The list of calls as comma-separated values (RFC 4180), all of them',
    tags: ['events'],
    description: describeNeed(needOf('get', PATH)),
    security: SECURITY,
    request: { query: EventsCsvQuery },
    responses: { 200: { description: 'Done', content: { 'text/csv': { schema: { type: 'string' } } } } },
  });
  app.get(ROOT + PATH, async (context) => {
    const query = permittedQuery(context, PATH, EventsCsvQuery);
    if (isApiError(query)) return errorResponse(context, query);
    noteExport(accessLog, context.get('caller'), query.data, query.teams);
    await settleNow();
    return csvResponse(
      context,
      'tollgate-events.csv',
      chunks(database, selectionOf(query.data, query.teams, context.get('caller'))),
    );
  });
}

async function* chunks(database: Database, selection: Omit<EventPage, 'after' | 'limit'>) {
  yield csvLine(COLUMNS);
  let after: EventPage['after'] = null;
  do {
    const { rows, searchedTo }: Awaited<ReturnType<typeof listEvents>> = await listEvents(database, {
      ...selection,
      after,
      limit: ROWS,
    });
    if (rows.length > 0) yield await linesOf(database, rows);
    after = rows.length === ROWS ? (rows.at(-1) ?? null) : searchedTo;
  } while (after !== null);
}

async function linesOf(database: Database, rows: EventRow[]): Promise<string> {
  const events = await toEvents(database, rows);
  const departments = rows.flatMap((row) => row.departments ?? []);
  const names = await readNames(database, 'departments', departments);
  const paths = new Map(rows.map((row) => [row.id as string, departmentPath(row.departments ?? [], names)]));
  const cells = events.map((event) => ({ ...event, department_path: paths.get(event.id) ?? '' }));
  return cells
    .map((event) =>
      csvLine(
        COLUMNS.map((column) =>
          column === 'quantities' || column === 'tags' || column === 'on_exhausted'
            ? jsonOf(event[column] ?? {})
            : (event[column] ?? ''),
        ),
      ),
    )
    .join('');
}

/** Quantities, tags or the like as JSON in one cell; empty: there are none. */
function jsonOf(record: Readonly<Record<string, unknown>>): string {
  return Object.keys(record).length === 0 ? '' : JSON.stringify(record);
}
