/**
 * The usage report: `GET /v1/organization/usage/{completions,embeddings}` as the API documents it, summed from the
 * billed lines of the invoice. A line counts in the bucket of the moment at which the upstream committed to it.
 */

import { type ApiError, isApiError } from './errors.ts';
import type { InvoiceLine } from './invoice.ts';
import { readUsageQuery, type UsageQuery } from './usage-query.ts';

export type UsageReportName = 'completions' | 'embeddings';

const OPERATIONS: Record<UsageReportName, readonly (string | null)[]> = {
  completions: ['chat.completions', 'responses', 'responses.compact', 'completions'],
  embeddings: ['embeddings'],
};

/** The simulator has one project and one user, and no batches. */
const ONLY = { project_id: 'proj_simulated', user_id: 'user-simulated', batch: false } as const;

/** The page as JSON, or why there is none. `nowSeconds` ends a query that names no end. */
export function usageJson(
  name: UsageReportName,
  lines: readonly InvoiceLine[],
  search: URLSearchParams,
  nowSeconds: number,
): string | ApiError {
  const query = readUsageQuery(search, nowSeconds);
  if (isApiError(query)) return query;
  const { startSeconds, endSeconds, widthSeconds, limit } = query;
  const pageEnd = Math.min(endSeconds, startSeconds + limit * widthSeconds);
  const byBucket = Map.groupBy(
    lines.filter((line) => counts(name, line, query)),
    (line) => Math.floor(secondsOf(line) / widthSeconds) * widthSeconds,
  );
  const data: object[] = [];
  for (let start = startSeconds; start < pageEnd; start += widthSeconds) {
    const results = resultsOf(name, byBucket.get(start) ?? [], query);
    data.push({ object: 'bucket', start_time: start, end_time: start + widthSeconds, results });
  }
  const next = pageEnd < endSeconds ? `page_${Buffer.from(String(pageEnd)).toString('base64')}` : null;
  return JSON.stringify({ object: 'page', data, has_more: next !== null, next_page: next });
}

function secondsOf(line: InvoiceLine): number {
  return Math.floor(Date.parse(line.at) / 1000);
}

function counts(name: UsageReportName, line: InvoiceLine, query: UsageQuery): boolean {
  if (line.cost_pico_usd === '0' || !OPERATIONS[name].includes(line.operation)) return false;
  if (query.batch === true) return false;
  const isOneOf = (wanted: readonly string[], value: string | null) =>
    wanted.length === 0 || (value !== null && wanted.includes(value));
  return (
    isOneOf(query.models, line.model) &&
    isOneOf(query.apiKeyIds, line.api_key_id) &&
    isOneOf(query.projectIds, ONLY.project_id) &&
    isOneOf(query.userIds, ONLY.user_id)
  );
}

function resultsOf(name: UsageReportName, lines: readonly InvoiceLine[], { groupBy }: UsageQuery): object[] {
  const groups = Map.groupBy(lines, (line) => JSON.stringify(groupBy.map((field) => fieldOf(line, field))));
  return [...groups.values()].map((group) => {
    const [first] = group;
    const named = (field: string) => (first && groupBy.includes(field) ? fieldOf(first, field) : null);
    const sum = (pick: (line: InvoiceLine) => number) => group.reduce((total, line) => total + pick(line), 0);
    const common = {
      input_tokens: sum((line) => line.usage.input_tokens),
      num_model_requests: group.length,
      project_id: named('project_id'),
      user_id: named('user_id'),
      api_key_id: named('api_key_id'),
      model: named('model'),
    };
    if (name === 'embeddings') return { object: 'organization.usage.embeddings.result', ...common };
    const cached = sum((line) => line.usage.cached_input_tokens);
    const written = sum((line) => line.usage.cache_write_tokens);
    return {
      object: 'organization.usage.completions.result',
      ...common,
      input_cached_tokens: cached,
      input_cache_write_tokens: written,
      input_uncached_tokens: common.input_tokens - cached - written,
      output_tokens: sum((line) => line.usage.output_tokens),
      batch: named('batch'),
      service_tier: named('service_tier'),
    };
  });
}

function fieldOf(line: InvoiceLine, field: string): string | boolean | null {
  if (field === 'model' || field === 'api_key_id' || field === 'service_tier') return line[field];
  return field === 'project_id' || field === 'user_id' || field === 'batch' ? ONLY[field] : null;
}
