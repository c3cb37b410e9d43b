/**
 * Routes: what a team, or a department with all below it, was charged in a month (UTC), as a page to print or as comma-separated
 * values. The sum is that of the ledger: each line sums the charges of the days.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { csvLine } from '../domain/csv.ts';
import { isApiError } from '../domain/errors.ts';
import { asId, type DepartmentId, type TeamId } from '../domain/ids.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { type Charge, type ChargeRange, readCharges } from '../store/charges.ts';
import type { Database } from '../store/database.ts';
import { findDepartment, listDepartments } from '../store/departments.ts';
import { findTeam } from '../store/teams.ts';
import { DepartmentStatementQuery, StatementQuery } from './contract.ts';
import { csvResponse, noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { describeNeed, needOf } from './permissions.ts';
import { errorResponse, isUuid, notFound, permittedQuery, ROOT, SECURITY } from './route.ts';
import { type Statement, type StatementLine, statementPage } from './statement-page.ts';

const EVERY_DEPARTMENT = { after: null, limit: 100_000, deleted: true };

/** Whose statements there are: what finds its name, and which charges are on it. */
const SUBJECTS = {
  teams: {
    of: 'Team',
    query: StatementQuery,
    find: (database: Database, id: string) => findTeam(database, asId(id)),
    rangeOf: (id: string) => ({ teamIds: [asId<TeamId>(id)] }),
  },
  departments: {
    of: 'Department',
    query: DepartmentStatementQuery,
    /** One that none of the teams within reach is in is not for the caller to know. */
    find: async (database: Database, id: string, teams: readonly TeamId[] | undefined) => {
      if (teams === undefined) return findDepartment(database, asId(id));
      const seen = await listDepartments(database, { ...EVERY_DEPARTMENT, teamIds: teams });
      return seen.find((department) => department.id === id);
    },
    rangeOf: (id: string, teams: readonly TeamId[] | undefined) => ({
      teamIds: teams,
      departmentId: asId<DepartmentId>(id),
    }),
  },
} as const;

export function statementRoutes(app: OpenAPIHono, options: AdminOptions): void {
  for (const noun of ['teams', 'departments'] as const) statementRoute(app, options, noun);
}

function statementRoute(app: OpenAPIHono, options: AdminOptions, noun: keyof typeof SUBJECTS): void {
  const { database, settleNow, accessLog, nowMs } = options;
  const { of, query: schema, find, rangeOf } = SUBJECTS[noun];
  const path = `/${noun}/{id}/statement`;
  const text = { schema: { type: 'string' as const } };
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: ROOT + path,
    summary: `What a ${of.toLowerCase()} was charged in a month: a page to print, or comma-separated values`,
    tags: [noun],
    description: describeNeed(needOf('get', path)),
    security: SECURITY,
    request: { params: z.object({ id: z.string() }), query: schema },
    responses: { 200: { description: 'Done', content: { 'text/html': text, 'text/csv': text } } },
  });
  app.get(`${ROOT}/${noun}/:id/statement`, async (context) => {
    const id = context.req.param('id').toLowerCase();
    if (!isUuid(id)) return errorResponse(context, notFound(context));
    const query = permittedQuery(context, path, schema, id);
    if (isApiError(query)) return errorResponse(context, query);
    const subject = await find(database, id, query.teams);
    if (!subject) return errorResponse(context, notFound(context));
    const { month, format } = query.data;
    const range = rangeOf(id, query.teams);
    const noted = noun === 'teams' ? {} : { department_id: id };
    noteExport(
      accessLog,
      context.get('caller'),
      { export: 'statement', month, format, ...noted },
      range.teamIds,
    );
    await settleNow();
    const lines = await linesOf(database, month, range, noun === 'departments');
    const statement = { of, id, name: subject.name, month, lines, atMs: nowMs() };
    if (format === 'csv') {
      return csvResponse(context, `tollgate-statement-${month}.csv`, csvOf(statement));
    }
    // The page needs nothing but its own style, whatever the names in it say.
    context.header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
    return context.html(statementPage(statement));
  });
}

/** Returns the lines of a month: teams by name, within them dearest first of what they are. */
async function linesOf(
  database: Database,
  month: string,
  of: Omit<ChargeRange, 'from' | 'to'>,
  byTeam: boolean,
): Promise<StatementLine[]> {
  const [year = 0, number = 0] = month.split('-').map(Number);
  const range = { ...of, from: new Date(Date.UTC(year, number - 1)), to: new Date(Date.UTC(year, number)) };
  const lines = new Map<string, StatementLine>();
  for await (const charges of readCharges(database, range)) {
    for (const charge of charges) add(lines, charge, byTeam);
  }
  return [...lines.values()].sort(
    (a, b) =>
      compare(a.team?.name ?? '', b.team?.name ?? '') ||
      compare(a.team?.id ?? '', b.team?.id ?? '') ||
      compare(b.kind, a.kind) ||
      compare(b.cost, a.cost) ||
      compare(`${a.model} ${a.operation} ${a.tier}`, `${b.model} ${b.operation} ${b.tier}`),
  );
}

function compare<Value extends string | PicoUsd>(a: Value, b: Value): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function add(lines: Map<string, StatementLine>, charge: Charge, byTeam: boolean): void {
  const { kind, model, operation, tier, provenance, teamId, teamName } = charge;
  const team = byTeam ? { id: teamId, name: teamName } : null;
  const key = JSON.stringify([team?.id, kind, model, operation, tier, provenance]);
  const line = lines.get(key) ?? {
    ...{ team, kind, model, operation, tier, provenance },
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

/** No line with the total: a sum of the column would have it twice. Of a department each line says which team it is of. */
async function* csvOf({ of, month, id, name, lines }: Statement) {
  const whole = of === 'Department';
  yield csvLine([...(whole ? ['department_id', 'department_name'] : []), ...COLUMNS]);
  for (const line of lines) {
    const { kind, model, operation, tier, provenance, calls } = line;
    const { id: teamId, name: teamName } = line.team ?? { id, name };
    const what = [month, teamId, teamName, kind, model, operation, tier, provenance];
    const amounts = [line.inputTokens, line.cachedInputTokens, line.outputTokens, formatUsd(line.cost)];
    yield csvLine([...(whole ? [id, name] : []), ...what, calls, ...amounts]);
  }
}
