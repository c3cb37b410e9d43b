/** Route: the calls as a table for spreadsheets, all of them, as a stream. */

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import type { Database } from '../store/database.ts';
import { type EventPage, type EventRow, listEvents } from '../store/events.ts';
import { type Event, EventsCsvQuery } from './contract.ts';
import { askedOf, toEvents } from './events.ts';
import type { AdminOptions } from './options.ts';
import { errorResponse, ROOT, readQuery, WHO } from './route.ts';

/** Rows read at once: what is in memory, however long the table. */
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
] as const;

const PATH = '/events.csv';

export function serveEventsCsv(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: ROOT + PATH,
    summary: 'The list of calls as comma-separated values (RFC 4180), all of them',
    tags: ['events'],
    description: 'A session of a team may ask this of that team.',
    security: WHO,
    request: { query: EventsCsvQuery },
    responses: { 200: { description: 'Done', content: { 'text/csv': { schema: { type: 'string' } } } } },
  });
  app.get(ROOT + PATH, async (context) => {
    const query = readQuery(context, EventsCsvQuery, 'query');
    if (isApiError(query)) return errorResponse(context, query);
    await settleNow();
    context.header('content-type', 'text/csv; charset=utf-8; header=present');
    context.header('content-disposition', 'attachment; filename="tollgate-events.csv"');
    return context.body(ReadableStream.from(chunks(database, askedOf(query.data))));
  });
}

async function* chunks(database: Database, asked: Omit<EventPage, 'after' | 'limit'>) {
  const encoder = new TextEncoder();
  yield encoder.encode(lineOf(COLUMNS));
  let after: EventPage['after'] = null;
  do {
    const { rows, searchedTo }: Awaited<ReturnType<typeof listEvents>> = await listEvents(database, {
      ...asked,
      after,
      limit: ROWS,
    });
    if (rows.length > 0) yield encoder.encode(await linesOf(database, rows));
    after = rows.length === ROWS ? rows.at(-1)! : searchedTo;
  } while (after !== null);
}

async function linesOf(database: Database, rows: EventRow[]): Promise<string> {
  const events = await toEvents(database, rows);
  return events
    .map((event) =>
      lineOf(
        COLUMNS.map((column) => (column === 'quantities' ? quantitiesOf(event) : (event[column] ?? ''))),
      ),
    )
    .join('');
}

/** The quantities as JSON in one cell; empty: there are none. */
function quantitiesOf({ quantities }: z.input<typeof Event>): string {
  return Object.keys(quantities).length === 0 ? '' : JSON.stringify(quantities);
}

function lineOf(cells: readonly unknown[]): string {
  return `${cells.map((cell) => cellOf(String(cell))).join(',')}\r\n`;
}

/**
 * A spreadsheet runs what begins like a formula, also from a file, and callers choose the names of models and users:
 * such text gets an apostrophe before it (OWASP, "CSV Injection"). Amounts that are negative stay numbers.
 */
function cellOf(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-\d+(?:\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
