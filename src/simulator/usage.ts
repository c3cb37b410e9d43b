/**
 * The usage reports: `GET /v1/organization/usage/…` as the API documents them, summed from the billed lines of the invoice. A
 * line counts in the bucket of the moment at which the upstream committed to it.
 */

import { type ApiError, isApiError } from './errors.ts';
import type { InvoiceLine, ToolLine } from './invoice.ts';
import { cursorAt, readUsageQuery, type UsageQuery } from './usage-query.ts';

export const ONLY_PROJECT = 'proj_simulated';
const ONLY_USER = 'user-simulated';
const BATCH = 'batch.';
const EVALS = ['evals.chat.completions', 'evals.responses'];
const CHATS = ['chat.completions', 'responses', 'responses.compact', 'responses.background', 'completions'];
const IMAGE_SOURCES: Record<string, string> = {
  'images.generations': 'image.generation',
  'images.edits': 'image.edit',
  'images.variations': 'image.variation',
};

interface Report {
  /** Below `organization.usage.`. */
  object: string;
  operations: readonly string[];
  groups: readonly string[];
  /** Lines of any operation count that ran it. */
  tool?: ToolLine['tool'];
  /** What is free is reported too. */
  countsFree?: true;
  amounts(lines: readonly InvoiceLine[]): Record<string, number>;
}

const KEYS = ['project_id', 'user_id', 'api_key_id', 'model'];
const inputOf = (lines: readonly InvoiceLine[]) => sum(lines, ({ usage }) => usage.input_tokens);
const unitsOf = (lines: readonly InvoiceLine[]) => sum(lines, ({ units }) => units?.amount ?? 0);
const callsOf = (lines: readonly InvoiceLine[], name: ToolLine['tool']) =>
  sum(lines, ({ tools = [] }) => tools.find(({ tool }) => tool === name)?.calls ?? 0);
const requests = (lines: readonly InvoiceLine[]) => ({ num_model_requests: lines.length });

const REPORTS: Record<string, Report> = {
  completions: {
    object: 'completions',
    operations: [...CHATS, ...CHATS.map((name) => BATCH + name), ...EVALS],
    groups: [...KEYS, 'batch', 'service_tier'],
    amounts: tokensOf,
  },
  embeddings: {
    object: 'embeddings',
    operations: ['embeddings', `${BATCH}embeddings`],
    groups: KEYS,
    amounts: (lines) => ({ input_tokens: inputOf(lines), ...requests(lines) }),
  },
  moderations: {
    object: 'moderations',
    operations: ['moderations'],
    groups: KEYS,
    countsFree: true,
    amounts: (lines) => ({ input_tokens: inputOf(lines), ...requests(lines) }),
  },
  images: {
    object: 'images',
    operations: Object.keys(IMAGE_SOURCES),
    groups: [...KEYS, 'size', 'source'],
    amounts: (lines) => ({ images: unitsOf(lines), ...requests(lines) }),
  },
  audio_speeches: {
    object: 'audio_speeches',
    operations: ['audio.speech'],
    groups: KEYS,
    amounts: (lines) => ({ characters: unitsOf(lines), ...requests(lines) }),
  },
  audio_transcriptions: {
    object: 'audio_transcriptions',
    operations: ['audio.transcriptions', 'audio.translations'],
    groups: KEYS,
    amounts: (lines) => ({ seconds: unitsOf(lines), ...requests(lines) }),
  },
  vector_stores: {
    object: 'vector_stores',
    operations: ['vector_stores.storage'],
    groups: ['project_id'],
    countsFree: true,
    amounts: (lines) => ({ usage_bytes: unitsOf(lines) }),
  },
  code_interpreter_sessions: {
    object: 'code_interpreter_sessions',
    operations: ['containers.create'],
    tool: 'code_interpreter',
    groups: ['project_id'],
    amounts: (lines) => ({ num_sessions: unitsOf(lines) + callsOf(lines, 'code_interpreter') }),
  },
  file_search_calls: {
    object: 'file_searches',
    operations: [],
    tool: 'file_search',
    groups: ['project_id', 'user_id', 'api_key_id', 'vector_store_id'],
    amounts: (lines) => ({ num_requests: callsOf(lines, 'file_search') }),
  },
  web_search_calls: {
    object: 'web_searches',
    operations: [],
    tool: 'web_search',
    groups: [...KEYS, 'context_level'],
    amounts: (lines) => ({ num_requests: callsOf(lines, 'web_search'), ...requests(lines) }),
  },
};

export function isUsageReport(name: string): boolean {
  return Object.hasOwn(REPORTS, name);
}

function sum(lines: readonly InvoiceLine[], pick: (line: InvoiceLine) => number): number {
  return lines.reduce((total, line) => total + pick(line), 0);
}

function tokensOf(lines: readonly InvoiceLine[]): Record<string, number> {
  const input = inputOf(lines);
  const cached = sum(lines, ({ usage }) => usage.cached_input_tokens);
  const written = sum(lines, ({ usage }) => usage.cache_write_tokens);
  return {
    input_tokens: input,
    ...requests(lines),
    input_cached_tokens: cached,
    input_cache_write_tokens: written,
    input_uncached_tokens: input - cached - written,
    output_tokens: sum(lines, ({ usage }) => usage.output_tokens),
    input_audio_tokens: sum(lines, ({ usage }) => usage.input_audio_tokens ?? 0),
    output_audio_tokens: sum(lines, ({ usage }) => usage.output_audio_tokens ?? 0),
  };
}

/** The page as JSON, or why there is none. `nowSeconds` ends a query that names no end. */
export function usageJson(
  name: string,
  lines: readonly InvoiceLine[],
  search: URLSearchParams,
  nowSeconds: number,
): string | ApiError {
  const report = REPORTS[name];
  if (report === undefined) throw new RangeError(`no report: ${name}`);
  const query = readUsageQuery(search, nowSeconds, report.groups);
  if (isApiError(query)) return query;
  const { startSeconds, endSeconds, widthSeconds, limit } = query;
  const pageEnd = Math.min(endSeconds, startSeconds + limit * widthSeconds);
  const byBucket = Map.groupBy(
    lines.filter((line) => counts(report, line, query)),
    (line) => Math.floor(secondsOf(line) / widthSeconds) * widthSeconds,
  );
  const data: object[] = [];
  for (let start = startSeconds; start < pageEnd; start += widthSeconds) {
    const results = resultsOf(report, byBucket.get(start) ?? [], query);
    data.push({ object: 'bucket', start_time: start, end_time: start + widthSeconds, results });
  }
  const next = pageEnd < endSeconds ? cursorAt(pageEnd) : null;
  return JSON.stringify({ object: 'page', data, has_more: next !== null, next_page: next });
}

function secondsOf(line: InvoiceLine): number {
  return Math.floor(Date.parse(line.at) / 1000);
}

export function isBatch({ operation, service_tier: tier }: InvoiceLine): boolean {
  return tier === 'batch' || operation?.startsWith(BATCH) === true;
}

function counts(report: Report, line: InvoiceLine, query: UsageQuery): boolean {
  if (line.cost_pico_usd === '0' && !report.countsFree) return false;
  const isRun = line.tools?.some(({ tool }) => tool === report.tool) ?? false;
  if (!report.operations.includes(line.operation ?? '') && !isRun) return false;
  if (query.batch !== null && query.batch !== isBatch(line)) return false;
  const isOneOf = (wanted: readonly string[], value: string | null) =>
    wanted.length === 0 || (value !== null && wanted.includes(value));
  return (
    isOneOf(query.models, line.model) &&
    isOneOf(query.apiKeyIds, line.api_key_id) &&
    isOneOf(query.projectIds, line.project_id ?? ONLY_PROJECT) &&
    isOneOf(query.userIds, ONLY_USER)
  );
}

function resultsOf(report: Report, lines: readonly InvoiceLine[], { groupBy }: UsageQuery): object[] {
  const groups = Map.groupBy(lines, (line) => JSON.stringify(groupBy.map((field) => fieldOf(line, field))));
  return [...groups.values()].map((group) => {
    const [first] = group;
    const named = report.groups.map((field) => [
      field,
      first && groupBy.includes(field) ? fieldOf(first, field) : null,
    ]);
    return {
      object: `organization.usage.${report.object}.result`,
      ...report.amounts(group),
      ...Object.fromEntries(named),
    };
  });
}

function fieldOf(line: InvoiceLine, field: string): string | boolean | null {
  switch (field) {
    case 'model':
    case 'api_key_id':
      return line[field];
    case 'service_tier':
      return isBatch(line) ? 'default' : line.service_tier;
    case 'project_id':
      return line.project_id ?? ONLY_PROJECT;
    case 'user_id':
      return ONLY_USER;
    case 'batch':
      return isBatch(line);
    case 'source':
      return IMAGE_SOURCES[line.operation ?? ''] ?? null;
    default:
      return null;
  }
}
