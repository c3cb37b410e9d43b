/** The four routes that every resource has besides its POST: the list, one, change and delete. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, isApiError } from '../domain/errors.ts';
import { type PageQuery, type PageRequest, pageOf } from './page.ts';
import { itemRoute, route } from './route.ts';

export interface Resource<
  Row extends { createdAt: Date },
  Item extends z.ZodType,
  Page extends z.ZodType,
  ListQuery extends z.ZodType<PageQuery>,
  Change extends z.ZodType,
  Id extends string,
> {
  /** `/teams`. */
  path: string;
  /** `team`, for the summaries. */
  name: string;
  /** It is named by text instead of a UUID. */
  textId?: boolean;
  item: Item;
  page: Page;
  listQuery: ListQuery;
  changeBody: Change;
  /** `query`: a session of a team lists its own; missing: it cannot list. */
  listScope?: 'query';
  /** Returns the team whose sessions may read a row; missing: only admins may. */
  teamOf?(row: Row): string;
  idOf(row: Row): Id;
  view(row: Row): z.input<Item>;
  list(page: PageRequest, query: z.output<ListQuery>): Promise<Row[]>;
  find(id: Id): Promise<Row | null>;
  change(id: Id, body: z.output<Change>): Promise<Row | ApiError | null>;
  remove(id: Id): Promise<Row | ApiError | null>;
}

export function resourceRoutes<
  Row extends { createdAt: Date },
  Item extends z.ZodType,
  Page extends z.ZodType,
  ListQuery extends z.ZodType<PageQuery>,
  Change extends z.ZodType,
  Id extends string,
>(app: OpenAPIHono, resource: Resource<Row, Item, Page, ListQuery, Change, Id>): void {
  const { path, name, item, textId = false, teamOf } = resource;
  const one = { path: `${path}/{id}`, response: item, textId };
  const show = (row: Row | ApiError | null) => (row === null || isApiError(row) ? row : resource.view(row));
  route(
    app,
    {
      method: 'get',
      path,
      summary: `List ${path.slice(1)}, oldest first`,
      query: resource.listQuery,
      response: resource.page,
      team: resource.listScope,
    },
    async ({ query }) => {
      const page = await pageOf(query, {
        list: (request) => resource.list(request, query),
        idOf: resource.idOf,
        view: resource.view,
        textId,
      });
      return page as z.input<Page> | ApiError;
    },
  );
  const showOne = { ...one, method: 'get', summary: `Show one ${name}` } as const;
  if (teamOf)
    itemRoute(app, showOne, { load: (id) => resource.find(id as Id), teamOf }, async (row) =>
      resource.view(row),
    );
  else route(app, showOne, async ({ id }) => show(await resource.find(id as Id)));
  route(
    app,
    { ...one, method: 'patch', summary: `Change a ${name}`, body: resource.changeBody },
    async ({ id, body }) => show(await resource.change(id as Id, body)),
  );
  route(app, { ...one, method: 'delete', summary: `Delete a ${name}; its history stays` }, async ({ id }) =>
    show(await resource.remove(id as Id)),
  );
}
