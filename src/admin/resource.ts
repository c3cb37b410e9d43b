/** The four routes that every resource has besides its POST: the list, one, change and delete. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, isApiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { type PageQuery, type PageRequest, pageOf } from './page.ts';
import { route } from './route.ts';
import type { Caller } from './scope.ts';

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
  /** Returns the team to which a row belongs; missing: rows belong to none. */
  teamOf?(row: Row): string;
  idOf(row: Row): Id;
  view(row: Row): z.input<Item>;
  /** `teams`: whose rows may be shown; undefined: all. */
  list(page: PageRequest, query: z.output<ListQuery>, teams: TeamId[] | undefined): Promise<Row[]>;
  find(id: Id, teams?: TeamId[]): Promise<Row | null>;
  change(id: Id, body: z.output<Change>, caller: Caller): Promise<Row | ApiError | null>;
  remove(id: Id, caller: Caller): Promise<Row | ApiError | null>;
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
  const ownerOfItem = async (id: string) => {
    const row = teamOf ? await resource.find(id as Id) : null;
    return row === null || teamOf === undefined ? null : teamOf(row);
  };
  const one = { path: `${path}/{id}`, response: item, textId, ownerOfItem };
  const show = (row: Row | ApiError | null) => (row === null || isApiError(row) ? row : resource.view(row));
  route(
    app,
    {
      method: 'get',
      path,
      summary: `List ${path.slice(1)}, oldest first`,
      query: resource.listQuery,
      response: resource.page,
    },
    async ({ query, teams }) => {
      const page = await pageOf(query, {
        list: (request) => resource.list(request, query, teams),
        idOf: resource.idOf,
        view: resource.view,
        textId,
      });
      return page as z.input<Page> | ApiError;
    },
  );
  route(app, { ...one, method: 'get', summary: `Show one ${name}` }, async ({ id, teams }) =>
    show(await resource.find(id as Id, teams)),
  );
  route(
    app,
    { ...one, method: 'patch', summary: `Change a ${name}`, body: resource.changeBody },
    async ({ id, body, caller }) => show(await resource.change(id as Id, body, caller)),
  );
  route(
    app,
    { ...one, method: 'delete', summary: `Delete a ${name}; its history stays` },
    async ({ id, caller }) => show(await resource.remove(id as Id, caller)),
  );
}
