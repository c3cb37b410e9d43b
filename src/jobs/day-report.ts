/**
 * What the upstream says of a UTC day: its usage reports, its costs and which keys are the gateway's, read with the official
 * SDK and an admin key. Invariant: a result covers the whole day, or the read fails: what is missing must not look like
 * nothing. https://platform.openai.com/docs/api-reference/usage
 */
import type OpenAI from 'openai';
import { z } from 'zod';
import type { CostRow, UsageRow } from '../domain/differences.ts';
import { billedAmount } from '../domain/line-items.ts';
import { SERVICE_TIERS, type ServiceTier } from '../domain/price.ts';
import { DAY_MS } from '../domain/window.ts';
import { adminClient, UnusableReport, type UsageReportOptions } from './usage-report.ts';

export interface DayReport {
  usage: UsageRow[];
  costs: CostRow[];
  /** Null: the upstream does not say. */
  ownKeys: ReadonlySet<string> | null;
}

/** Reads the reports of the day that begins then. Rejects with the SDK's error, or an {@link UnusableReport}. */
export type ReadDay = (dayMs: number, signal: AbortSignal) => Promise<DayReport>;

const count = z.int().min(0);
const some = count.nullish().transform((value) => value ?? 0);
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? null);
const named = { api_key_id: text, model: text, num_model_requests: some };
const tokens = z.object({
  ...named,
  input_tokens: count,
  input_cached_tokens: some,
  input_cache_write_tokens: some,
  input_audio_tokens: some,
  input_cached_audio_tokens: some,
  output_tokens: some,
  output_audio_tokens: some,
  batch: z.boolean().nullish(),
  service_tier: text,
});
const whose = z.object(named);
const cost = z.object({
  amount: z.object({ value: z.union([z.number(), z.string()]), currency: z.string() }),
  line_item: text,
  project_id: text,
  api_key_id: text,
  quantity: z.number().nullish(),
});

const page = z.object({
  data: z.array(z.object({ start_time: z.int(), end_time: z.int(), results: z.array(z.unknown()) })),
  has_more: z.boolean(),
  next_page: text,
});

const KEYS = ['api_key_id', 'model'];
/** By its name in paths, how a report is grouped, and the member that it counts in; null: tokens. */
const REPORTS: Record<string, { groups: readonly string[]; counts: string | null }> = {
  completions: { groups: [...KEYS, 'batch', 'service_tier'], counts: null },
  embeddings: { groups: KEYS, counts: null },
  images: { groups: KEYS, counts: 'images' },
  audio_speeches: { groups: KEYS, counts: 'characters' },
  audio_transcriptions: { groups: KEYS, counts: 'seconds' },
  vector_stores: { groups: ['project_id'], counts: 'usage_bytes' },
  code_interpreter_sessions: { groups: ['project_id'], counts: 'num_sessions' },
  file_search_calls: { groups: ['api_key_id'], counts: 'num_requests' },
  web_search_calls: { groups: ['api_key_id'], counts: 'num_requests' },
};
/** Some of these reports have no method in the SDK's older releases; with this it signs any request as an administrator's. */
const AS_ADMIN = { __security: { adminAPIKeyAuth: true } };
const COST_GROUPS = ['project_id', 'line_item', 'api_key_id'];

/** @param keys that the gateway calls with */
export function createDayReport(options: UsageReportOptions & { keys: readonly string[] }): ReadDay {
  const client = adminClient(options);
  return async (dayMs, signal) => {
    const usage: UsageRow[] = [];
    for (const [name, { groups, counts }] of Object.entries(REPORTS)) {
      const rows = await readDay(client, `usage/${name}`, groups, dayMs, signal);
      usage.push(...rows.map((row) => (counts === null ? tokenRow(name, row) : unitRow(name, counts, row))));
    }
    const costs = await readDay(client, 'costs', COST_GROUPS, dayMs, signal);
    return { usage, costs: costs.map(costRow), ownKeys: await readOwnKeys(client, options.keys, signal) };
  };
}

async function readDay(
  client: OpenAI,
  path: string,
  groups: readonly string[],
  dayMs: number,
  signal: AbortSignal,
): Promise<unknown[]> {
  const [start, end] = [dayMs / 1000, (dayMs + DAY_MS) / 1000];
  const rows: unknown[] = [];
  let isThere = false;
  for (let next: string | null = null, first = true; first || next !== null; first = false) {
    const query = { start_time: start, end_time: end, bucket_width: '1d', limit: 1, group_by: groups };
    const asked = { query: { ...query, ...(next === null ? {} : { page: next }) }, signal, ...AS_ADMIN };
    const answer = page.safeParse(await client.get(`/organization/${path}`, asked));
    if (!answer.success) throw new UnusableReport(`the report ${path} is not of the form that is documented`);
    for (const bucket of answer.data.data) {
      if (bucket.start_time !== start || bucket.end_time > end)
        throw new UnusableReport(`the report ${path} has a bucket of another day`);
      isThere = true;
      rows.push(...bucket.results);
    }
    next = answer.data.has_more ? answer.data.next_page : null;
    if (next !== null && answer.data.data.length === 0)
      throw new UnusableReport(`a page of the report ${path} brought nothing`);
  }
  if (!isThere) throw new UnusableReport(`the report ${path} leaves out the day`);
  return rows;
}

function parsed<Schema extends z.ZodType>(schema: Schema, row: unknown): z.output<Schema> {
  const read = schema.safeParse(row);
  if (read.success) return read.data;
  const at = read.error.issues[0]?.path.join('.') ?? '';
  throw new UnusableReport(`the report has a result that cannot be read: ${at}`);
}

function tokenRow(report: string, result: unknown): UsageRow {
  const row = parsed(tokens, result);
  const audio = Math.max(0, row.input_audio_tokens - row.input_cached_audio_tokens);
  return {
    report,
    apiKeyId: row.api_key_id,
    model: row.model,
    tier: row.batch === true ? 'batch' : tierOf(row.service_tier),
    requests: row.num_model_requests,
    tokens: {
      input_tokens: row.input_tokens,
      cached_input_tokens: row.input_cached_tokens,
      cache_write_tokens: row.input_cache_write_tokens,
      output_tokens: row.output_tokens,
      ...(audio > 0 ? { input_audio_tokens: audio } : {}),
      ...(row.output_audio_tokens > 0 ? { output_audio_tokens: row.output_audio_tokens } : {}),
    },
    units: 0,
  };
}

/** Null: it does not say, or says what no price is of. */
function tierOf(text: string | null): ServiceTier | null {
  if (text === 'fast') return 'priority';
  return SERVICE_TIERS.find((tier) => tier === text) ?? null;
}

function unitRow(report: string, member: string, result: unknown): UsageRow {
  const { api_key_id: apiKeyId, model, num_model_requests: requests } = parsed(whose, result);
  const units = parsed(z.looseObject({ [member]: count }), result)[member];
  return { report, apiKeyId, model, tier: null, requests, tokens: null, units: Number(units) };
}

function costRow(result: unknown): CostRow {
  const row = parsed(cost, result);
  const read = billedAmount(String(row.amount.value));
  if (read === null || row.amount.currency.toLowerCase() !== 'usd')
    throw new UnusableReport('the costs have an amount that is none of US dollars');
  const { line_item: lineItem, project_id: projectId, api_key_id: apiKeyId, quantity = null } = row;
  return { lineItem, projectId, apiKeyId, ...read, quantity };
}

const listed = z.object({
  data: z.array(z.looseObject({ id: z.string(), redacted_value: z.string().optional() })),
  has_more: z.boolean().optional(),
});
/** More pages of a list than any organization has. */
const LIST_PAGES_MAX = 1_000;

/**
 * Finds the ids of keys by what an administrator sees of them: their begin and their end. Null: this admin key may not list
 * keys, or this server has no such list.
 */
async function readOwnKeys(
  client: OpenAI,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlySet<string> | null> {
  const list = async (path: string) => {
    const all: z.output<typeof listed>['data'] = [];
    for (let pages = 0; pages < LIST_PAGES_MAX; pages++) {
      const after = all.at(-1)?.id;
      const query = { limit: 100, ...(after === undefined ? {} : { after }) };
      const read = listed.safeParse(await client.get(path, { query, signal, maxRetries: 0, ...AS_ADMIN }));
      if (read.success) all.push(...read.data.data);
      if (!read.success || read.data.has_more !== true || all.at(-1)?.id === after) break;
    }
    return all;
  };
  const own = new Set<string>();
  try {
    for (const { id } of await list('/organization/projects')) {
      for (const key of await list(`/organization/projects/${encodeURIComponent(id)}/api_keys`)) {
        const [begin = '', end = ''] = (key.redacted_value ?? '').split(/[.*…]{2,}|…/, 2);
        const isOwn = (text: string) => text.startsWith(begin) && text.endsWith(end);
        if (begin.length + end.length >= 6 && keys.some(isOwn)) own.add(key.id);
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!isDenied(error)) throw error;
    return null;
  }
  return own.size === 0 ? null : own;
}

function isDenied(error: unknown): boolean {
  const status = error instanceof Error && 'status' in error ? error.status : undefined;
  return typeof status === 'number' && status >= 400 && status < 500 && status !== 429;
}
