/** Routes: usage, denials and errors, as sums of quarter hours. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, type ErrorKind, isApiError } from '../domain/errors.ts';
import type { DepartmentId, KeyId, TeamId } from '../domain/ids.ts';
import { parseTag } from '../domain/tags.ts';
import { readApiErrors } from '../store/api-errors.ts';
import type { Database } from '../store/database.ts';
import { readNames } from '../store/names.ts';
import { readTagUsage } from '../store/tag-usage.ts';
import { readUsage, type UsageDimension, type UsageRow } from '../store/usage.ts';
import { ApiErrors, ApiErrorsQuery, Usage, UsageQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf } from './page.ts';
import { type ReportRange, ROWS_MAX, reportOf, reportRangeOf } from './report-range.ts';
import { invalid, route } from './route.ts';

export function usageRoute(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  const summary = 'Sum usage by team, department, key, model, operation or tag and by time';
  route(
    app,
    { method: 'get', path: '/usage', summary, query: UsageQuery, response: Usage },
    async ({ query, teams: teamIds }) => {
      const range = reportRangeOf(query);
      if (isApiError(range)) return range;
      const { group_by: groups, key_id: keyId, department_id: departmentId, top } = query;
      const hasGroups = groups.dimensions.length > 0 || groups.tag !== null;
      const problem = tagProblem(query) ?? topProblem(top, hasGroups);
      if (problem) return problem;
      await settleNow();
      const { name, value } = parseTag(query.tag ?? groups.tag ?? '');
      const tag = name === '' ? undefined : { name, value, isApart: groups.tag !== null };
      return sumUsage(database, range, {
        groupBy: groups.dimensions,
        teamIds,
        keyId,
        departmentId,
        tag,
        top,
      });
    },
  );
}

export function apiErrorRoutes(app: OpenAPIHono, options: AdminOptions): void {
  const lost = 'what an instance counted just before it was killed is missing';
  countsRoute(
    app,
    options,
    'denial',
    '/denials',
    `Count calls that a limit denied, by team, code and time; ${lost}`,
  );
  countsRoute(
    app,
    options,
    'error',
    '/errors',
    `Count calls that ended in another error of Tollgate, by team, code and time; ${lost}`,
  );
}

function countsRoute(
  app: OpenAPIHono,
  { database, settleNow }: AdminOptions,
  kind: ErrorKind,
  path: string,
  summary: string,
): void {
  route(
    app,
    { method: 'get', path, summary, query: ApiErrorsQuery, response: ApiErrors },
    async ({ query, teams: teamIds }) => {
      const range = reportRangeOf(query);
      if (isApiError(range)) return range;
      const { group_by: groupBy, top } = query;
      const problem = topProblem(top, groupBy.length > 0);
      if (problem) return problem;
      await settleNow();
      const asked = { ...range, kind, groupBy, teamIds, top, limit: ROWS_MAX + 1 };
      const rows = await readApiErrors(database, asked);
      const teams = await readNames(
        database,
        'teams',
        idsOf(rows, (row) => row.team),
      );
      return reportOf(
        range,
        rows.map((row) => ({
          starts_at: instantOf(row.startsAt),
          ...(row.team === null ? {} : { team_id: row.team, team_name: teams.get(row.team) ?? '' }),
          ...(row.code === null ? {} : { code: row.code }),
          ...(row.isOther ? { other: true as const } : {}),
          count: row.calls,
        })),
      );
    },
  );
}

interface UsageSelection {
  groupBy: readonly UsageDimension[];
  teamIds: readonly TeamId[] | undefined;
  keyId: KeyId | undefined;
  departmentId?: DepartmentId | undefined;
  /** Calls with this tag (`value` null: one of this name); `isApart`: by its values. Groups are then by team and model at most. */
  tag?: { name: string; value: string | null; isApart: boolean } | undefined;
  /** Only so many groups, those that cost most, and the sum of the others. */
  top?: number | undefined;
}

/** Returns sums of usage, with the names of teams, keys and departments. */
export async function sumUsage(database: Database, range: ReportRange, selection: UsageSelection) {
  const rows = await readRows(database, range, selection);
  const namesOf = (which: 'teams' | 'keys' | 'departments', pick: (row: TaggedRow) => string | null) =>
    readNames(database, which, idsOf(rows, pick));
  const [teams, keys, departments] = await Promise.all([
    namesOf('teams', (row) => row.team),
    namesOf('keys', (row) => row.key),
    namesOf('departments', (row) => row.department),
  ]);
  const startOf = startTexts();
  return reportOf(
    range,
    rows.map((row) => ({
      starts_at: startOf(row.startsAt),
      ...toSum(row, teams, keys),
      ...(row.isOther ? { other: true as const } : nullableOf(row, selection, departments)),
    })),
  );
}

/** Starts of intervals as text, each made once: there are thousands of rows of some dozens. */
function startTexts(): (at: Date | null) => string | null {
  const texts = new Map<number, string>();
  return (at) => {
    if (at === null) return null;
    const known = texts.get(at.getTime());
    if (known !== undefined) return known;
    const text = instantOf(at);
    texts.set(at.getTime(), text);
    return text;
  };
}

/** What may be null where it is grouped by, and so is named by what is grouped by alone. */
function nullableOf(
  { tag = null, department }: TaggedRow,
  { groupBy, tag: asked }: UsageSelection,
  departments: Map<string, string>,
) {
  const name = department === null ? null : (departments.get(department) ?? '');
  return {
    ...(asked?.isApart ? { tag_name: asked.name, tag_value: tag } : {}),
    ...(groupBy.includes('department') ? { department_id: department, department_name: name } : {}),
  };
}

type TaggedRow = UsageRow & { tag?: string | null };

async function readRows(
  database: Database,
  range: ReportRange,
  { tag, ...selection }: UsageSelection,
): Promise<TaggedRow[]> {
  const asked = { ...range, ...selection, limit: ROWS_MAX + 1 };
  if (tag === undefined) return readUsage(database, asked);
  const groupBy = selection.groupBy.filter((name) => name === 'team' || name === 'model');
  return readTagUsage(database, { ...asked, groupBy, tag, byTag: tag.isApart });
}

/** Returns why usage cannot be summed so: sums by tag know teams, models and time alone; null: it can. */
function tagProblem(query: z.output<typeof UsageQuery>): ApiError | null {
  const { group_by: groups, tag } = query;
  if (groups.tag === null && tag === undefined) return null;
  const because = 'sums by tag are by team, model and time alone';
  if (query.key_id !== undefined) return invalid('key_id', because);
  if (query.department_id !== undefined) return invalid('department_id', because);
  if (!groups.dimensions.every((name) => name === 'team' || name === 'model'))
    return invalid('group_by', because);
  const isOther = groups.tag !== null && tag !== undefined && parseTag(tag).name !== groups.tag;
  return isOther ? invalid('tag', 'must be of the name that is grouped by') : null;
}

/** Returns why there are no top groups; null: there are, or none are asked for. */
function topProblem(top: number | undefined, hasGroups: boolean): ApiError | null {
  return top === undefined || hasGroups
    ? null
    : invalid('top', 'needs group_by: without it there is one group');
}

function idsOf<Row>(rows: Row[], pick: (row: Row) => string | null): Set<string> {
  const ids = new Set<string>();
  for (const row of rows) {
    const id = pick(row);
    if (id !== null) ids.add(id);
  }
  return ids;
}

function toSum(row: UsageRow, teams: Map<string, string>, keys: Map<string, string>) {
  return {
    ...(row.team !== null ? { team_id: row.team, team_name: teams.get(row.team) ?? '' } : {}),
    ...(row.key !== null ? { key_id: row.key, key_name: keys.get(row.key) ?? '' } : {}),
    ...(row.model !== null ? { model: row.model } : {}),
    ...(row.operation !== null ? { operation: row.operation } : {}),
    calls: row.calls,
    voided_calls: row.voidedCalls,
    unknown_calls: row.unknownCalls,
    input_tokens: row.inputTokens,
    cached_input_tokens: row.cachedInputTokens,
    cache_write_tokens: row.cacheWriteTokens,
    output_tokens: row.outputTokens,
    reasoning_tokens: row.reasoningTokens,
    quantities: row.quantities,
    cost_usd: moneyOf(row.costUsd),
    unknown_usd: moneyOf(row.unknownUsd),
  };
}
