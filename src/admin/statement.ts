/**
 * Route: what a team was charged in a month (UTC), as a page to print or as comma-separated values. Its sum is that of the
 * ledger: each line sums the charges of the days.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { csvLine } from '../domain/csv.ts';
import { isApiError } from '../domain/errors.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { type Charge, readCharges } from '../store/charges.ts';
import type { Database } from '../store/database.ts';
import { findTeam } from '../store/teams.ts';
import { StatementQuery } from './contract.ts';
import { csvResponse, noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { describeNeed, needOf } from './permissions.ts';
import { errorResponse, isUuid, notFound, permittedQuery, ROOT, SECURITY } from './route.ts';
import { type Statement, type StatementLine, statementPage } from './statement-page.ts';

const PATH = '/teams/{id}/statement';

export function statementRoute(
  app: OpenAPIHono,
  { database, settleNow, accessLog, nowMs }: AdminOptions,
): void {
  const text = { schema: { type: 'string' as const } };
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: ROOT + PATH,
    summary: 'What a team was charged in a month: a page to print, or comma-separated values',
    tags: ['teams'],
    description: describeNeed(needOf('get', PATH)),
    security: SECURITY,
    request: { params: z.object({ id: z.string() }), query: StatementQuery },
    responses: { 200: { description: 'Done', content: { 'text/html': text, 'text/csv': text } } },
  });
  app.get(`${ROOT}/teams/:id/statement`, async (context) => {
    const id = context.req.param('id');
    if (!isUuid(id)) return errorResponse(context, notFound(context));
    const query = permittedQuery(context, PATH, StatementQuery, id);
    if (isApiError(query)) return errorResponse(context, query);
    const team = await findTeam(database, asId(id));
    if (!team) return errorResponse(context, notFound(context));
    const { month, format } = query.data;
    noteExport(accessLog, context.get('caller'), { export: 'statement', month, format }, [team.id]);
    await settleNow();
    const lines = await linesOf(database, team.id, month);
    const statement = { teamId: team.id, teamName: team.name, month, lines, atMs: nowMs() };
    if (format === 'csv') {
      return csvResponse(context, `tollgate-statement-${month}.csv`, csvOf(statement));
    }
    // The page needs nothing but its own style, whatever the names in it say.
    context.header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
    return context.html(statementPage(statement));
  });
}

/** Returns the lines of a month, dearest first within what they are. */
async function linesOf(database: Database, teamId: TeamId, month: string): Promise<StatementLine[]> {
  const [year = 0, number = 0] = month.split('-').map(Number);
  const range = {
    teamIds: [teamId],
    from: new Date(Date.UTC(year, number - 1)),
    to: new Date(Date.UTC(year, number)),
  };
  const lines = new Map<string, StatementLine>();
  for await (const charges of readCharges(database, range)) {
    for (const charge of charges) add(lines, charge);
  }
  return [...lines.values()].sort(
    (a, b) =>
      compare(b.kind, a.kind) ||
      compare(b.cost, a.cost) ||
      compare(`${a.model} ${a.operation} ${a.tier}`, `${b.model} ${b.operation} ${b.tier}`),
  );
}

function compare<Value extends string | PicoUsd>(a: Value, b: Value): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function add(lines: Map<string, StatementLine>, charge: Charge): void {
  const { kind, model, operation, tier, provenance } = charge;
  const key = JSON.stringify([kind, model, operation, tier, provenance]);
  const line = lines.get(key) ?? {
    ...{ kind, model, operation, tier, provenance },
    ...{ calls: 0n, inputTokens: 0n, cachedInputTokens: 0n, outputTokens: 0n, cost: 0n },
  };
  line.calls += BigInt(charge.calls);
  line.inputTokens += BigInt(charge.inputTokens);
  line.cachedInputTokens += BigInt(charge.cachedInputTokens);
  line.outputTokens += BigInt(charge.outputTokens);
  line.cost += usd(charge.costUsd);
  lines.set(key, line);
}

const COLUMNS = [
  'month',
  'team_id',
  'team_name',
  'charge',
  'model',
  'operation',
  'service_tier',
  'provenance',
  'calls',
  'input_tokens',
  'cached_input_tokens',
  'output_tokens',
  'cost_usd',
] as const;

/** No line with the total: a sum of the column would have it twice. */
async function* csvOf({ month, teamId, teamName, lines }: Statement) {
  yield csvLine(COLUMNS);
  for (const line of lines) {
    const { kind, model, operation, tier, provenance, calls } = line;
    const what = [month, teamId, teamName, kind, model, operation, tier, provenance];
    const amounts = [line.inputTokens, line.cachedInputTokens, line.outputTokens, formatUsd(line.cost)];
    yield csvLine([...what, calls, ...amounts]);
  }
}
