/**
 * One route of the admin API: parse, authorize, act, respond. Owns: how a request is read and how an error is written.
 * Invariants: a caller's permission is checked before the route changes anything; openapi.json is made of the schemas
 * that check requests, so the two cannot differ.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import { type ApiError, apiError, ERRORS, isApiError } from '../domain/errors.ts';
import type { SessionId } from '../domain/ids.ts';
import { errorBody, errorHeaders } from '../openai/wire/errors.ts';
import { ErrorBody } from './contract.ts';
import { type Caller, mayUse, narrow, type TeamScope } from './scope.ts';

const EMPTY = z.strictObject({});

export interface RouteDefinition<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType> {
  method: 'get' | 'post' | 'patch' | 'delete';
  /** Below the root of the admin API, with at most one parameter: `/teams/{id}`. */
  path: string;
  summary: string;
  /** The parameter is any text (a plan's name) instead of a UUID. */
  textId?: boolean;
  query?: Query;
  body?: Body;
  response: Reply;
  status?: 200 | 201;
  /** How a session of a team may use it; missing: not at all. */
  team?: TeamScope | undefined;
}

export interface RouteRequest<Query, Body> {
  /** The path's parameter; empty where it has none. */
  id: string;
  query: Query;
  body: Body;
  /** The caller's name in the audit log. */
  actor: string;
  /** The caller's session; null: the admin key. */
  sessionId: SessionId | null;
}

/** Null: there is no such thing (404). */
export type RouteResult<Value> = Promise<Value | ApiError | null>;

/** What a path names: loaded, then checked against the caller's team, before the route acts. */
export interface RouteItem<Item> {
  load(id: string): Promise<Item | null>;
  /** Returns the team that the item belongs to. */
  teamOf(item: Item): string;
}

export const ROOT = '/admin/v1';

/** Security of every route of the admin API: the admin key, or a session. */
export const SECURITY: Record<string, string[]>[] = [{ adminKey: [] }, { session: [] }];

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** Adds a route to the app and to its OpenAPI document. */
export function route<
  Reply extends z.ZodType,
  Query extends z.ZodType = typeof EMPTY,
  Body extends z.ZodType = typeof EMPTY,
>(
  app: OpenAPIHono,
  definition: RouteDefinition<Query, Body, Reply> & { team?: Exclude<TeamScope, 'item'> | undefined },
  act: (request: RouteRequest<z.output<Query>, z.output<Body>>) => RouteResult<z.input<Reply>>,
): void {
  register(app, definition, act);
}

/** Adds a route about one item that belongs to a team: loads the item, checks that the caller may use it, then acts. */
export function itemRoute<Item, Reply extends z.ZodType>(
  app: OpenAPIHono,
  definition: Omit<RouteDefinition<typeof EMPTY, typeof EMPTY, Reply>, 'team' | 'query' | 'body'>,
  { load, teamOf }: RouteItem<Item>,
  act: (item: Item) => RouteResult<z.input<Reply>>,
): void {
  register<Reply, typeof EMPTY, typeof EMPTY>(
    app,
    { ...definition, team: 'item' },
    async ({ id }, caller) => {
      const item = await load(id);
      return item === null || !mayUse(caller, teamOf(item)) ? null : act(item);
    },
  );
}

function register<Reply extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  app: OpenAPIHono,
  definition: RouteDefinition<Query, Body, Reply>,
  act: (
    request: RouteRequest<z.output<Query>, z.output<Body>>,
    caller: Caller,
  ) => RouteResult<z.input<Reply>>,
): void {
  const { method, path, textId, team, status = 200 } = definition;
  const querySchema: z.ZodType = definition.query ?? EMPTY;
  app.openAPIRegistry.registerPath(describe(definition));
  app.on(method.toUpperCase(), ROOT + path.replace(/\{(\w+)\}/, ':$1'), async (context) => {
    const [id = ''] = Object.values<string>(context.req.param());
    if (id !== '' && !textId && !isUuid(id)) return errorResponse(context, notFound(context));
    const query = readQuery(context, querySchema, team, id);
    if (isApiError(query)) return errorResponse(context, query);
    const body = definition.body ? await readBody(context, definition.body) : { data: {} };
    if (isApiError(body)) return errorResponse(context, body);
    const caller = context.get('caller');
    const { actor, sessionId } = caller;
    const request = { id, query: query.data, body: body.data, actor, sessionId } as RouteRequest<
      z.output<Query>,
      z.output<Body>
    >;
    const value = await act(request, caller);
    if (value === null) return errorResponse(context, notFound(context));
    return isApiError(value) ? errorResponse(context, value) : context.json(value, status);
  });
}

/** Returns the query as its schema reads it, narrowed to the caller's team; or the error. */
export function readQuery<Query extends z.ZodType>(
  context: Context,
  schema: Query,
  scope: TeamScope | undefined,
  pathId = '',
): ApiError | { data: z.output<Query> } {
  const narrowed = narrow(scope, context.get('caller'), pathId, queryOf(context));
  if (narrowed === null) return notFound(context);
  return isApiError(narrowed) ? narrowed : parseQuery(context, schema, narrowed);
}

/** Returns the query as its schema reads it, or the error. */
export function parseQuery<Query extends z.ZodType>(
  context: Context,
  schema: Query,
  given: Record<string, unknown> = queryOf(context),
): ApiError | { data: z.output<Query> } {
  const query = schema.safeParse(given);
  return query.success ? { data: query.data } : errorOf(query.error);
}

/** A repeated parameter stays an array, which no schema accepts. */
function queryOf(context: Context): Record<string, string | string[] | undefined> {
  const all = Object.entries(context.req.queries());
  return Object.fromEntries(all.map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
}

/** Returns the body as its schema reads it, or the error. */
export async function readBody<Body extends z.ZodType>(
  context: Context,
  schema: Body,
): Promise<ApiError | { data: z.output<Body> }> {
  let json: unknown;
  try {
    json = JSON.parse(await context.req.text());
  } catch {
    return apiError('invalid_json', 'the body must be a JSON object');
  }
  const body = schema.safeParse(json);
  return body.success ? { data: body.data } : errorOf(body.error);
}

/** Returns the first issue as an error, named by the path of its field. */
function errorOf({ issues: [issue] }: z.ZodError): ApiError {
  if (issue === undefined) return apiError('invalid_request', 'the request is not valid');
  if (issue.code === 'unrecognized_keys') {
    const param = pathOf([...issue.path, ...issue.keys.slice(0, 1)]);
    return apiError('invalid_request', `${param}: there is no such field here`, { param });
  }
  const param = pathOf(issue.path);
  if (param === '') return apiError('invalid_request', issue.message);
  return apiError('invalid_request', `${param}: ${issue.message}`, { param });
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}

export function notFound(context: Context): ApiError {
  return apiError('not_found', `there is nothing at ${context.req.method} ${context.req.path}`);
}

/** Returns the response of an error, with its retry headers: one shape for `/v1` and the admin API. */
export function errorResponse(context: Context, error: ApiError): Response {
  const status = ERRORS[error.code].status as ContentfulStatusCode;
  return context.body(errorBody(error).toString(), status, errorHeaders(error));
}

function describe<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType>(
  route: RouteDefinition<Query, Body, Reply>,
) {
  const param = /\{(\w+)\}/.exec(route.path)?.[1];
  const json = (schema: z.ZodType) => ({ 'application/json': { schema } });
  return {
    method: route.method,
    path: ROOT + route.path,
    summary: route.summary,
    ...(route.team ? { description: 'A session of a team may use this for that team.' } : {}),
    tags: route.path.split('/').slice(1, 2),
    security: SECURITY,
    request: {
      ...(param ? { params: z.object({ [param]: z.string() }) } : {}),
      ...(route.query instanceof z.ZodObject ? { query: route.query } : {}),
      ...(route.body ? { body: { required: true, content: json(route.body) } } : {}),
    },
    responses: {
      [route.status ?? 200]: { description: 'Done', content: json(route.response) },
      default: { description: 'A denial or an error', content: json(ErrorBody) },
    },
  };
}
