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
import type { TeamId } from '../domain/ids.ts';
import { issueText } from '../domain/issue-text.ts';
import { type Reach, reaches } from '../domain/roles.ts';
import { isStorable } from '../domain/storable.ts';
import { errorBody, errorHeaders } from '../openai/wire/errors.ts';
import { ErrorBody } from './contract.ts';
import { describeNeed, type Need, needOf, outOfReach, reachFor } from './permissions.ts';
import { type Caller, teamsOf } from './scope.ts';

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
  /**
   * Return the team to which what the path, or the body, names belongs (the organization's id: to the whole installation);
   * null: there is no such thing. One is needed where permissions.ts says `owner`; it is asked only for callers who do not
   * reach all teams, before the body is looked at, or after its schema.
   */
  ownerOfItem?: ((id: string) => Promise<string | null>) | undefined;
  ownerOfBody?: ((body: z.output<Body>) => Promise<string | null>) | undefined;
}

export interface RouteRequest<Query, Body> {
  /** The path's parameter; empty where it has none. */
  id: string;
  query: Query;
  body: Body;
  /** The teams that a list may show; undefined: all. */
  teams: TeamId[] | undefined;
  caller: Caller;
}

/** Null: there is no such thing (404). */
export type RouteResult<Value> = Promise<Value | ApiError | null>;

export const ROOT = '/admin/v1';

/** Security of every route of the admin API: the admin key, a service token, or a session. */
export const SECURITY: Record<string, string[]>[] = [{ adminKey: [] }, { serviceToken: [] }, { session: [] }];

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** Whether something may have this text for its name: none has control characters, and Postgres takes no NUL. */
function isName(text: string): boolean {
  return !/\p{Cc}/u.test(text);
}

/** Adds a route to the app and to its OpenAPI document. */
export function route<
  Reply extends z.ZodType,
  Query extends z.ZodType = typeof EMPTY,
  Body extends z.ZodType = typeof EMPTY,
>(
  app: OpenAPIHono,
  definition: RouteDefinition<Query, Body, Reply>,
  act: (request: RouteRequest<z.output<Query>, z.output<Body>>) => RouteResult<z.input<Reply>>,
): void {
  const { method, path, textId, status = 200 } = definition;
  const need = needOf(method, path);
  app.openAPIRegistry.registerPath(describe(definition, need));
  app.on(method.toUpperCase(), ROOT + path.replace(/\{(\w+)\}/, ':$1'), async (context) => {
    const [named = ''] = Object.values<string>(context.req.param());
    const id = textId ? named : named.toLowerCase();
    const caller = context.get('caller');
    const reach = reachFor(caller.authority, need);
    if (isApiError(reach)) return errorResponse(context, reach);
    if (id !== '' && !(textId ? isName(id) : isUuid(id))) return errorResponse(context, notFound(context));
    const request = await readRequest(context, definition, need, reach, id);
    if (isApiError(request)) return errorResponse(context, request);
    const value = await act(request);
    if (value === null) return errorResponse(context, notFound(context));
    return isApiError(value) ? errorResponse(context, value) : context.json(value, status);
  });
}

/** Returns what the handler gets, as the schemas read it and after the caller's reach was checked; or the error. */
async function readRequest<Query extends z.ZodType, Body extends z.ZodType>(
  context: Context,
  definition: RouteDefinition<Query, Body, z.ZodType>,
  need: Need,
  reach: Reach,
  id: string,
): Promise<RouteRequest<z.output<Query>, z.output<Body>> | ApiError> {
  const { ownerOfItem, ownerOfBody, body: bodySchema } = definition;
  const querySchema: z.ZodType = definition.query ?? EMPTY;
  const query = readQuery(context, querySchema, need, reach, id);
  if (isApiError(query)) return query;
  const isBound = need.where === 'owner' && reach !== 'all';
  if (isBound && ownerOfBody === undefined) {
    const away = awayProblem(context, need, reach, (await ownerOfItem?.(id)) ?? null);
    if (away !== null) return away;
  }
  const body = bodySchema ? await readBody(context, bodySchema) : { data: {} };
  if (isApiError(body)) return body;
  if (isBound && ownerOfBody !== undefined) {
    const owner = await ownerOfBody(body.data as z.output<Body>);
    if (owner === null) return apiError('not_found', 'nothing has the id that the body names');
    const away = awayProblem(context, need, reach, owner);
    if (away !== null) return away;
  }
  const { data, teams } = query;
  const request = { id, query: data, body: body.data, teams, caller: context.get('caller') };
  return request as RouteRequest<z.output<Query>, z.output<Body>>;
}

/** Returns why the caller may not touch what belongs to a team (null: there is nothing); null: it may. */
function awayProblem(context: Context, need: Need, reach: Reach, team: string | null): ApiError | null {
  if (team === null) return notFound(context);
  if (reaches(reach, team)) return null;
  // That something exists out of reach is not for this caller to know.
  return context.req.method === 'GET' ? notFound(context) : outOfReach(need);
}

/** Returns the query as its schema reads it, and which teams it may show; or the error. */
function readQuery<Query extends z.ZodType>(
  context: Context,
  schema: Query,
  need: Need,
  reach: Reach,
  id = '',
): ApiError | { data: z.output<Query>; teams: TeamId[] | undefined } {
  if (need.where === 'path' && !reaches(reach, id.toLowerCase())) {
    return context.req.method === 'GET' ? notFound(context) : outOfReach(need);
  }
  const given = queryOf(context);
  const teams = need.where === 'list' ? teamsOf(reach, given) : undefined;
  if (isApiError(teams)) return teams;
  const query = parseQuery(context, schema, given);
  return isApiError(query) ? query : { ...query, teams };
}

/**
 * Like {@link readQuery}, for what responds with no JSON: checks the caller's permission for the operation first.
 * @param path as in the table of permissions
 */
export function permittedQuery<Query extends z.ZodType>(
  context: Context,
  path: string,
  schema: Query,
  id = '',
): ApiError | { data: z.output<Query>; teams: TeamId[] | undefined } {
  const need = needOf('get', path);
  const reach = reachFor(context.get('caller').authority, need);
  return isApiError(reach) ? reach : readQuery(context, schema, need, reach, id);
}

/** Returns the query as its schema reads it, or the error. */
export function parseQuery<Query extends z.ZodType>(
  context: Context,
  schema: Query,
  given: Record<string, unknown> = queryOf(context),
): ApiError | { data: z.output<Query> } {
  const query = schema.safeParse(given, { error: issueText });
  if (!query.success) return errorOf(query.error);
  const where = unstorable(given);
  return where === null ? { data: query.data } : unstorableText(where);
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
  const body = schema.safeParse(json, { error: issueText });
  if (!body.success) return errorOf(body.error);
  const where = unstorable(json);
  return where === null ? { data: body.data } : unstorableText(where);
}

/** Deeper than any schema reads. */
const LEVELS_MAX = 64;

/** Returns the path of a text that Postgres cannot store; null: there is none. */
function unstorable(value: unknown): string | null {
  const path = pathOfUnstorable(value, 0);
  return path === null ? null : pathOf(path);
}

function pathOfUnstorable(value: unknown, level: number): PropertyKey[] | null {
  if (level > LEVELS_MAX) return [];
  if (typeof value === 'string') return isStorable(value) ? null : [];
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, member] of Object.entries(value)) {
    if (pathOfUnstorable(name, level) !== null) return [];
    const within = pathOfUnstorable(member, level + 1);
    if (within !== null) return [Array.isArray(value) ? Number(name) : name, ...within];
  }
  return null;
}

function unstorableText(param: string): ApiError {
  const where = param === '' ? '' : `${param}: `;
  const message = `${where}must not contain the control character NUL, half a surrogate pair, or more than ${LEVELS_MAX} levels`;
  return apiError('invalid_request', message, param === '' ? {} : { param });
}

/** Returns the first issue as an error, named by the path of its field. */
function errorOf({ issues: [issue] }: z.ZodError): ApiError {
  if (issue === undefined) return apiError('invalid_request', 'the request is not valid');
  if (issue.code === 'unrecognized_keys') {
    const param = pathOf([...issue.path, ...issue.keys.slice(0, 1)]);
    return invalid(param, 'there is no such field here');
  }
  const param = pathOf(issue.path);
  return param === '' ? apiError('invalid_request', issue.message) : invalid(param, issue.message);
}

/** Returns the error of a field that cannot be as it is, named by its path. */
export function invalid(param: string, why: string): ApiError {
  return apiError('invalid_request', `${param}: ${why}`, { param });
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}

export function notFound(context: Context): ApiError {
  return apiError(
    'not_found',
    `there is nothing at ${context.req.method} ${context.req.path}: check the path, and any id in it`,
  );
}

/** Returns the response of an error, with its retry headers: one shape for `/v1` and the admin API. */
export function errorResponse(context: Context, error: ApiError): Response {
  const status = ERRORS[error.code].status as ContentfulStatusCode;
  return context.body(errorBody(error).toString(), status, errorHeaders(error));
}

function describe<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType>(
  route: RouteDefinition<Query, Body, Reply>,
  need: Need,
) {
  const param = /\{(\w+)\}/.exec(route.path)?.[1];
  const json = (schema: z.ZodType) => ({ 'application/json': { schema } });
  return {
    method: route.method,
    path: ROOT + route.path,
    summary: route.summary,
    description: describeNeed(need),
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
