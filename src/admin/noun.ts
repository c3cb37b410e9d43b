/** The four routes that every noun has besides its POST: the list, one, change and delete. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, isApiError } from '../domain/errors.ts';
import { type PageAsked, type PageQuery, pageOf } from './page.ts';
import { serve } from './route.ts';
import type { TeamScope } from './scope.ts';

export interface Noun<
  Row extends { createdAt: Date },
  Item extends z.ZodType,
  Page extends z.ZodType,
  ListQuery extends z.ZodType<PageQuery>,
  Change extends z.ZodType,
> {
  /** `/teams`. */
  path: string;
  /** `team`, for the summaries. */
  name: string;
  /** It is named by text instead of a UUID. */
  textId?: boolean;
  /** How a team's session reads the list, and one; missing: neither. */
  teamMay?: { list?: TeamScope; show: TeamScope };
  item: Item;
  page: Page;
  listQuery: ListQuery;
  changeBody: Change;
  idOf(row: Row): string;
  view(row: Row): z.input<Item>;
  list(page: PageAsked, query: z.output<ListQuery>): Promise<Row[]>;
  find(id: string): Promise<Row | null>;
  change(id: string, body: z.output<Change>): Promise<Row | ApiError | null>;
  remove(id: string): Promise<Row | ApiError | null>;
}

export function serveNoun<
  Row extends { createdAt: Date },
  Item extends z.ZodType,
  Page extends z.ZodType,
  ListQuery extends z.ZodType<PageQuery>,
  Change extends z.ZodType,
>(app: OpenAPIHono, noun: Noun<Row, Item, Page, ListQuery, Change>): void {
  const { path, name, item, textId = false } = noun;
  const onePath = `${path}/{id}`;
  const show = (row: Row | ApiError | null) => (row === null || isApiError(row) ? row : noun.view(row));
  serve(
    app,
    {
      method: 'get',
      path,
      summary: `List ${path.slice(1)}, oldest first`,
      query: noun.listQuery,
      answer: noun.page,
      team: noun.teamMay?.list,
    },
    async ({ query }) => {
      const page = await pageOf(query, noun.idOf, (asked) => noun.list(asked, query), noun.view, textId);
      return page as z.input<Page> | ApiError;
    },
  );
  serve(
    app,
    {
      method: 'get',
      path: onePath,
      summary: `Show one ${name}`,
      answer: item,
      textId,
      team: noun.teamMay?.show,
    },
    async ({ id }) => show(await noun.find(id)),
  );
  serve(
    app,
    {
      method: 'patch',
      path: onePath,
      summary: `Change a ${name}`,
      body: noun.changeBody,
      answer: item,
      textId,
    },
    async ({ id, body }) => show(await noun.change(id, body)),
  );
  serve(
    app,
    {
      method: 'delete',
      path: onePath,
      summary: `Delete a ${name}; its history stays`,
      answer: item,
      textId,
    },
    async ({ id }) => show(await noun.remove(id)),
  );
}
