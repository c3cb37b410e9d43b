/** Pages of lists: their cursors; and the fields that all resources write alike. */
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { After } from '../store/changes.ts';
import { isUuid } from './route.ts';

/** Returns decimal text of the database (twelve digits after the point) as the API writes it. */
export function moneyOf(text: string): string {
  const point = text.length - 13;
  if (text[point] !== '.') return formatUsd(usd(text));
  // Without a number in between, since reports have thousands of amounts: all that is left to do is to cut zeros.
  let end = text.length;
  while (end > point + 3 && text.endsWith('0', end)) end--;
  return text.slice(0, end);
}

export function instantOf(date: Date): string;
export function instantOf(date: Date | null): string | null;
export function instantOf(date: Date | null): string | null {
  return date?.toISOString() ?? null;
}

/** Returns the date of text that the contract has checked. */
export function dateOf(text: string): Date;
export function dateOf(text: string | null): Date | null;
export function dateOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

/**
 * The team of a row as the API names it: null for what belongs to the whole installation, however the store files it.
 */
export function teamOf(teamId: string): TeamId | null {
  return teamId === ORGANIZATION_ID ? null : asId(teamId);
}

export interface PageQuery {
  after?: string | undefined;
  limit: number;
  include_deleted?: 'true' | 'false';
}

/** The part of a list that the store reads. */
export interface PageRequest {
  after: After | null;
  limit: number;
  deleted: boolean;
}

export interface PageSource<Row, Item> {
  list(page: PageRequest): Promise<Row[]>;
  idOf(row: Row): string;
  view(row: Row): Item;
  /** Ids are text instead of UUIDs. */
  textId?: boolean;
}

/**
 * Returns a page; reads one row more than fits, to know whether another page follows.
 * A cursor is opaque to clients: the order's values of the last row.
 */
export async function pageOf<Row extends { createdAt: Date }, Item>(
  query: PageQuery,
  { list, idOf, view, textId = false }: PageSource<Row, Item>,
): Promise<{ data: Item[]; next: string | null } | ApiError> {
  const after = parseCursor(query.after, textId);
  if (isApiError(after)) return after;
  const rows = await list({ after, limit: query.limit + 1, deleted: query.include_deleted === 'true' });
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  return {
    data: shown.map((row) => view(row)),
    next: rows.length > shown.length && last ? formatCursor(last.createdAt, idOf(last)) : null,
  };
}

/** Returns the cursor of what comes after a row. */
export function formatCursor(createdAt: Date, id: string): string {
  return Buffer.from(`${createdAt.getTime()} ${id}`).toString('base64url');
}

const MALFORMED = apiError('invalid_request', 'after: not a cursor of this list', { param: 'after' });
const CURSOR = /^(\d{1,15}) (\P{Cc}{1,300})$/u;

/** Returns the place that a cursor names; null without one. */
export function parseCursor(text: string | undefined, textId = false): After | ApiError | null {
  if (text === undefined) return null;
  const [, ms, id] = CURSOR.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (ms === undefined || id === undefined || (!textId && !isUuid(id))) return MALFORMED;
  const createdAt = new Date(Number(ms));
  // Beyond the years that Postgres and ISO 8601 write alike.
  return createdAt.getTime() < Date.UTC(9999, 0) ? { createdAt, id } : MALFORMED;
}
