/**
 * The upstream's usage report, by the minute and by model, read with the official SDK and an admin key. Invariant: a
 * result covers every minute of the query, or the read fails: missing usage must not look like no usage.
 * https://platform.openai.com/docs/api-reference/usage
 */
import OpenAI from 'openai';
import type { MinuteRange, ReportedQuantities, ReportedUsage } from '../domain/usage-report-bound.ts';
import { operationsOfReport } from '../openai/operations/table.ts';

/** The reports, and the operations that each covers. */
export const REPORTED_OPERATIONS = {
  completions: operationsOfReport('completions'),
  embeddings: operationsOfReport('embeddings'),
} as const;

export type ReportName = keyof typeof REPORTED_OPERATIONS;

/** Reads one report. Rejects with the SDK's error, or an {@link UnusableReport}. */
export type ReadReport = (
  name: ReportName,
  span: MinuteRange,
  signal: AbortSignal,
) => Promise<ReportedUsage[]>;

/** The upstream's response is not the report of the query, or not all of it. */
export class UnusableReport extends Error {
  override name = 'UnusableReport';
}

export interface UsageReportOptions {
  adminKey: string;
  /** The base URL of the API: `https://api.openai.com/v1`. */
  baseUrl: string;
}

/** Minutes on one page, as documented. */
const PAGE_MINUTES_MAX = 1440;
const TIMEOUT_MS = 30_000;

type Page = OpenAI.Admin.Organization.UsageCompletionsResponse;
type Result = Page['data'][number]['results'][number];

/** Sets every option, so that the SDK reads no `OPENAI_…` variable of the environment. */
export function adminClient({ adminKey, baseUrl }: UsageReportOptions): OpenAI {
  return new OpenAI({
    adminAPIKey: adminKey,
    apiKey: null,
    organization: null,
    project: null,
    baseURL: baseUrl,
    timeout: TIMEOUT_MS,
    maxRetries: 2,
    logLevel: 'off',
  });
}

export function createUsageReport(options: UsageReportOptions): ReadReport {
  const { usage } = adminClient(options).admin.organization;
  return async (name, { firstMinute, lastMinute }, signal) => {
    const rows: ReportedUsage[] = [];
    const missing = new Set<number>();
    for (let minute = firstMinute; minute <= lastMinute; minute++) missing.add(minute);
    const query = {
      start_time: firstMinute * 60,
      end_time: (lastMinute + 1) * 60,
      bucket_width: '1m',
      limit: Math.min(missing.size, PAGE_MINUTES_MAX),
    } as const;
    for (let page: string | null = null, first = true; first || page !== null; first = false) {
      const asked = { ...query, group_by: ['model'] as ['model'], ...(page === null ? {} : { page }) };
      const answer = (await usage[name](asked, { signal })) as Page;
      const before = missing.size;
      for (const bucket of answer.data) rows.push(...rowsOf(bucket, missing));
      page = answer.has_more ? answer.next_page : null;
      if (page !== null && missing.size === before)
        throw new UnusableReport('a page of the report brought nothing new');
    }
    if (missing.size > 0) throw new UnusableReport(`the report leaves out ${missing.size} minutes`);
    return rows;
  };
}

function rowsOf(bucket: Page['data'][number], missing: Set<number>): ReportedUsage[] {
  const minute = bucket.start_time / 60;
  if (bucket.end_time - bucket.start_time !== 60 || !missing.delete(minute)) {
    throw new UnusableReport(`the report has a bucket that nobody asked for, at ${bucket.start_time}`);
  }
  return bucket.results.map((result) => ({ minute, ...usageOf(result) }));
}

function usageOf(result: Result): { model: string | null; usage: ReportedQuantities } {
  if (result.object === 'organization.usage.embeddings.result') {
    const input = countOf(result.input_tokens);
    return {
      model: result.model ?? null,
      usage: countsOf(input, { uncached: input, cached: 0, written: 0 }, 0),
    };
  }
  if (result.object !== 'organization.usage.completions.result') {
    throw new UnusableReport(`the report has a result of another kind: ${result.object}`);
  }
  const input = countOf(result.input_tokens);
  const cached = maybeCountOf(result.input_cached_tokens);
  const written = maybeCountOf(result.input_cache_write_tokens);
  const rest = Math.max(0, input - (cached ?? 0) - (written ?? 0));
  const kinds = {
    uncached: maybeCountOf(result.input_uncached_tokens) ?? rest,
    cached: cached ?? rest,
    written: written ?? rest,
  };
  return { model: result.model ?? null, usage: countsOf(input, kinds, countOf(result.output_tokens)) };
}

/** A kind of input that the report does not list may be all of the remaining input. */
function countsOf(
  inputTokens: number,
  kinds: { uncached: number; cached: number; written: number },
  outputTokens: number,
): ReportedQuantities {
  return {
    input_tokens: inputTokens,
    uncached_input_tokens: kinds.uncached,
    cached_input_tokens: kinds.cached,
    cache_write_tokens: kinds.written,
    output_tokens: outputTokens,
  };
}

function countOf(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new UnusableReport('the report has a count that is none');
  return value;
}

function maybeCountOf(value: number | null | undefined): number | null {
  return value === undefined || value === null ? null : countOf(value);
}
