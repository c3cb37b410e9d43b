/** The query of a usage report, read and checked as the API documents it. */
import { type ApiError, invalidRequest } from './errors.ts';

export interface UsageQuery {
  /** Rounded down to a whole bucket; the page's cursor moves it on. */
  startSeconds: number;
  /** Exclusive. */
  endSeconds: number;
  widthSeconds: number;
  /** How many buckets a page has at most. */
  limit: number;
  groupBy: string[];
  /** Empty lists filter nothing. */
  models: string[];
  apiKeyIds: string[];
  projectIds: string[];
  userIds: string[];
  batch: boolean | null;
}

const WIDTHS: Record<string, { seconds: number; limit: number; limitMax: number }> = {
  '1m': { seconds: 60, limit: 60, limitMax: 1440 },
  '1h': { seconds: 3600, limit: 24, limitMax: 168 },
  '1d': { seconds: 86_400, limit: 7, limitMax: 31 },
};
/** Of costs, which have buckets of a day alone. */
export const COSTS_WIDTHS = { '1d': { seconds: 86_400, limit: 7, limitMax: 180 } };

/**
 * @param nowSeconds ends a query that names no end
 * @param groups by which the results may be grouped
 */
export function readUsageQuery(
  search: URLSearchParams,
  nowSeconds: number,
  groups: readonly string[],
  widths: typeof WIDTHS = WIDTHS,
): UsageQuery | ApiError {
  const list = (name: string) => [...search.getAll(name), ...search.getAll(`${name}[]`)];
  const whole = (name: string, fallback: number | null) => {
    const text = search.get(name);
    if (text === null) return fallback;
    return /^\d{1,10}$/.test(text) ? Number(text) : null;
  };
  const width = widths[search.get('bucket_width') ?? '1d'];
  if (!width) return invalid('bucket_width', `one of ${Object.keys(widths).join(', ')}`);
  const start = whole('start_time', null);
  if (start === null) return invalid('start_time', 'Unix seconds, and is required');
  const end = whole('end_time', nowSeconds);
  if (end === null || end <= start) return invalid('end_time', 'Unix seconds after start_time');
  const limit = whole('limit', width.limit);
  if (limit === null || limit < 1 || limit > width.limitMax) {
    return invalid('limit', `a whole number from 1 to ${width.limitMax}`);
  }
  const groupBy = list('group_by');
  if (!groupBy.every((group) => groups.includes(group))) {
    return invalid('group_by', `among ${groups.join(', ')}`);
  }
  const page = search.get('page');
  const from = page === null ? start : cursorOf(page);
  if (from === null || from < start - width.seconds || from >= end) {
    return invalid('page', 'the next_page of the page before');
  }
  const batch = search.get('batch');
  return {
    startSeconds: Math.floor(from / width.seconds) * width.seconds,
    endSeconds: end,
    widthSeconds: width.seconds,
    limit,
    groupBy,
    models: list('models'),
    apiKeyIds: list('api_key_ids'),
    projectIds: list('project_ids'),
    userIds: list('user_ids'),
    batch: batch === null ? null : batch === 'true',
  };
}

/** The cursor of the page that begins there. */
export function cursorAt(seconds: number): string {
  return `page_${Buffer.from(String(seconds)).toString('base64')}`;
}

function cursorOf(page: string): number | null {
  const text = Buffer.from(page.replace(/^page_/, ''), 'base64').toString();
  return /^\d{1,10}$/.test(text) ? Number(text) : null;
}

function invalid(name: string, wanted: string): ApiError {
  return invalidRequest(`Invalid '${name}': it must be ${wanted}.`, name, 'invalid_value');
}
