/** Lists of the admin API, page by page. */
import { z } from 'zod';
import type { Client } from './client.ts';
import type { Action } from './document.ts';

const PAGE_MAX = 1_000;

const Page = z.looseObject({ data: z.array(z.unknown()), next: z.string().nullable().optional() });

export interface Rows {
  rows: unknown[];
  /** Cursor of what follows; null: nothing does. */
  next: string | null;
  /** What the (last) page says beside its rows, such as the range that it sums. */
  beside: Record<string, unknown>;
}

/** Whether a list comes page by page. */
export function hasPages({ fields }: Action): boolean {
  return fields.some((field) => field.in === 'query' && field.name === 'after');
}

/** Returns the first rows of a list, `rowsMax` at most; null when the response is no list. */
export async function listSome(
  action: Action,
  client: Client,
  query: Readonly<Record<string, string>>,
  rowsMax: number,
): Promise<Rows | { whole: unknown }> {
  const pages = hasPages(action);
  const rows: unknown[] = [];
  let after = query.after;
  let beside = {};
  do {
    const limit = Math.min(PAGE_MAX, rowsMax - rows.length);
    const json = await client.json({
      method: action.method,
      path: action.path,
      query: pages ? { ...query, limit: String(limit), ...(after === undefined ? {} : { after }) } : query,
    });
    const page = Page.safeParse(json);
    if (!page.success) return { whole: json };
    const { data, next, ...others } = page.data;
    rows.push(...data);
    after = next ?? undefined;
    beside = others;
  } while (after !== undefined && rows.length < rowsMax);
  return { rows, next: after ?? null, beside };
}

/** Yields every row of a list. */
export async function* listAll(
  action: Action,
  client: Client,
  query: Readonly<Record<string, string>> = {},
): AsyncGenerator<unknown> {
  let after: string | undefined;
  do {
    const found = await listSome(action, client, after === undefined ? query : { ...query, after }, PAGE_MAX);
    if ('whole' in found) return;
    yield* found.rows;
    after = found.next ?? undefined;
  } while (after !== undefined);
}
