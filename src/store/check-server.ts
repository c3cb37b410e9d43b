/** What the ledger cannot rest on: a server or database is looked at before anything is written to it. */
import { defined } from '../domain/defined.ts';
import type { Sql } from './database.ts';

/** A server or database that cannot hold the ledger. Its message says what would do, without secrets. */
export class UnsuitableDatabase extends Error {
  override name = 'UnsuitableDatabase';
}

/** The oldest major version that Tollgate was run on. */
const OLDEST_POSTGRES = 14;

interface ServerRow {
  version: number;
  encoding: string;
  client_encoding: string;
  is_recovering: boolean;
  is_read_only: boolean;
  date_style: string;
  schema: string | null;
  search_path: string;
}

/** @throws UnsuitableDatabase naming all that is wrong; any error of the connection */
export async function checkServer(sql: Sql): Promise<void> {
  const [row] = await sql<ServerRow[]>`
    select current_setting('server_version_num')::int4 / 10000 as version,
      current_setting('server_encoding') as encoding, current_setting('client_encoding') as client_encoding,
      pg_is_in_recovery() as is_recovering, current_setting('transaction_read_only') = 'on' as is_read_only,
      current_setting('DateStyle') as date_style, current_schema()::text as schema,
      current_setting('search_path') as search_path`;
  const problems = problemsOf(defined(row, 'the row of the settings'));
  if (problems.length > 0) throw new UnsuitableDatabase(problems.join('; '));
}

/** One sentence for each. */
function problemsOf(row: ServerRow): string[] {
  const problems: string[] = [];
  if (row.version < OLDEST_POSTGRES) {
    problems.push(`it runs PostgreSQL ${row.version}, and Tollgate needs ${OLDEST_POSTGRES} or newer`);
  }
  if (row.encoding !== 'UTF8') {
    problems.push(
      `its encoding is ${row.encoding}, which cannot hold every name and model: use a database made with ` +
        "ENCODING 'UTF8' TEMPLATE template0",
    );
  }
  if (row.is_recovering) problems.push('its server is a standby or recovers: name the primary');
  else if (row.is_read_only) {
    problems.push('it is read-only (default_transaction_read_only, of the server, the database or the role)');
  }
  if (row.client_encoding !== 'UTF8' || !row.date_style.startsWith('ISO')) {
    problems.push(
      `something between does not pass on what a session sets: client_encoding is ${row.client_encoding} and ` +
        `DateStyle ${row.date_style}, where UTF8 and ISO were set`,
    );
  }
  if (row.schema === null) {
    problems.push(`none of the schemas in its search_path (${row.search_path}) exists: make one`);
  }
  return problems;
}
