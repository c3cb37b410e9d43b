/** Pages: cursors and the fields of answers that all nouns write alike. */

import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { formatUsd, usd } from '../domain/money.ts';
import type { After } from '../store/changes.ts';
import { isUuid } from './route.ts';

/** Decimal text of the database (twelve digits after the point) as answers write it. */
export function moneyOf(text: string): string {
  return formatUsd(usd(text));
}

export function instantOf(date: Date): string;
export function instantOf(date: Date | null): string | null;
export function instantOf(date: Date | null): string | null {
  return date?.toISOString() ?? null;
}

/** Text that the contract found to be a moment. */
export function dateOf(text: string): Date;
export function dateOf(text: string | null): Date | null;
export function dateOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

/** The team of a row as the API names it: null for what belongs to the whole installation, however the store files it. */
export function teamOf(teamId: string): string | null {
  return teamId === ORGANIZATION_ID ? null : teamId;
}

export interface PageQuery {
  after?: string | undefined;
  limit: number;
  include_deleted?: 'true' | 'false';
}

/** The part of a list that a query of the store is asked for. */
export interface PageAsked {
  after: After | null;
  limit: number;
  deleted: boolean;
}

/**
 * Answers a page: asks for one row more than fits, to know whether another page follows.
 * A cursor is opaque to clients: the order's values of the last row.
 */
export async function pageOf<Row extends { createdAt: Date }, Item>(
  query: PageQuery,
  idOf: (row: Row) => string,
  list: (page: PageAsked) => Promise<Row[]>,
  view: (row: Row) => Item,
  textId = false,
): Promise<{ data: Item[]; next: string | null } | ApiError> {
  const after = parseCursor(query.after, textId);
  if (isApiError(after)) return after;
  const rows = await list({ after, limit: query.limit + 1, deleted: query.include_deleted === 'true' });
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  return {
    data: shown.map(view),
    next: rows.length > shown.length && last ? formatCursor(last.createdAt, idOf(last)) : null,
  };
}

/** The cursor of what comes after a row. */
export function formatCursor(createdAt: Date, id: string): string {
  return Buffer.from(`${createdAt.getTime()} ${id}`).toString('base64url');
}

const MALFORMED = apiError('invalid_request', 'after: not a cursor of this list', { param: 'after' });
const CURSOR = /^(\d{1,15}) (\P{Cc}{1,300})$/u;

/** The place that a cursor names. */
export function parseCursor(text: string | undefined, textId = false): After | ApiError | null {
  if (text === undefined) return null;
  const [, ms, id] = CURSOR.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (ms === undefined || id === undefined || (!textId && !isUuid(id))) return MALFORMED;
  const createdAt = new Date(Number(ms));
  // Beyond the years that Postgres and ISO 8601 write alike.
  return createdAt.getTime() < Date.UTC(9999, 0) ? { createdAt, id } : MALFORMED;
}
