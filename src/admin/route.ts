/**
 * One route of the admin API: parse strictly, ask, answer. Owns: how a request is read and how a refusal looks.
 * Invariant: the same schemas that check a request are what openapi.json says, so the two cannot differ.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import { type ApiError, apiError, ERRORS, isApiError } from '../domain/errors.ts';
import { errorBody, errorHeaders } from '../openai/wire/errors.ts';
import { ErrorBody } from './contract.ts';
import { maySee, narrow, type TeamScope } from './scope.ts';

const NOTHING = z.strictObject({});

export interface Route<Query extends z.ZodType, Body extends z.ZodType, Answer extends z.ZodType> {
  method: 'get' | 'post' | 'patch' | 'delete';
  /** Below the root of the admin API, with at most one parameter: `/teams/{id}`. */
  path: string;
  summary: string;
  /** The parameter is any text (a plan's name) instead of a UUID. */
  textId?: boolean;
  query?: Query;
  body?: Body;
  answer: Answer;
  status?: 200 | 201;
  /** How a team's session may use it; missing: not at all. */
  team?: TeamScope | undefined;
}

export interface Asked<Query, Body> {
  /** The path's parameter; empty where it has none. */
  id: string;
  query: Query;
  body: Body;
}

/** Null: there is no such thing (404). */
export type Answered<Value> = Promise<Value | ApiError | null>;

export const ROOT = '/admin/v1';

/** Who may ask a route of the admin API: whoever carries the admin key, or is signed in. */
export const WHO: Record<string, string[]>[] = [{ adminKey: [] }, { session: [] }];

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** Adds a route to the app and to its OpenAPI document. */
export function serve<
  Answer extends z.ZodType,
  Query extends z.ZodType = typeof NOTHING,
  Body extends z.ZodType = typeof NOTHING,
>(
  app: OpenAPIHono,
  route: Route<Query, Body, Answer>,
  answer: (asked: Asked<z.output<Query>, z.output<Body>>) => Answered<z.input<Answer>>,
): void {
  const querySchema: z.ZodType = route.query ?? NOTHING;
  app.openAPIRegistry.registerPath(describe(route));
  app.on(route.method.toUpperCase(), ROOT + route.path.replace(/\{(\w+)\}/, ':$1'), async (context) => {
    const [id = ''] = Object.values<string>(context.req.param());
    if (id !== '' && !route.textId && !isUuid(id)) return errorResponse(context, notFound(context));
    const query = readQuery(context, querySchema, route.team, id);
    if (isApiError(query)) return errorResponse(context, query);
    const body = route.body ? await readBody(context, route.body) : { data: {} };
    if (isApiError(body)) return errorResponse(context, body);
    const asked = { id, query: query.data, body: body.data } as Asked<z.output<Query>, z.output<Body>>;
    const value = await answer(asked);
    if (value === null || !maySee(route.team, context.get('caller'), value))
      return errorResponse(context, notFound(context));
    return isApiError(value) ? errorResponse(context, value) : context.json(value, route.status ?? 200);
  });
}

/** The query as its schema reads it, narrowed to what the caller may see; or what is wrong with it. */
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

/** The query as its schema reads it, or what is wrong with it. */
export function parseQuery<Query extends z.ZodType>(
  context: Context,
  schema: Query,
  given: Record<string, unknown> = queryOf(context),
): ApiError | { data: z.output<Query> } {
  const query = schema.safeParse(given);
  return query.success ? { data: query.data } : errorOf(query.error);
}

/** A repeated parameter stays an array, which no schema accepts. */
function queryOf(context: Context): Record<string, string | string[]> {
  const all = Object.entries(context.req.queries());
  return Object.fromEntries(all.map(([name, values]) => [name, values.length === 1 ? values[0]! : values]));
}

/** The body as its schema reads it, or what is wrong with it. */
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

/** The first thing that is wrong, named by the path of its field. */
function errorOf(error: z.ZodError): ApiError {
  const issue = error.issues[0]!;
  if (issue.code === 'unrecognized_keys') {
    const param = pathOf([...issue.path, issue.keys[0]!]);
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

function describe<Query extends z.ZodType, Body extends z.ZodType, Answer extends z.ZodType>(
  route: Route<Query, Body, Answer>,
) {
  const param = /\{(\w+)\}/.exec(route.path)?.[1];
  const json = (schema: z.ZodType) => ({ 'application/json': { schema } });
  return {
    method: route.method,
    path: ROOT + route.path,
    summary: route.summary,
    ...(route.team ? { description: 'A session of a team may ask this of that team.' } : {}),
    tags: [route.path.split('/')[1]!],
    security: WHO,
    request: {
      ...(param ? { params: z.object({ [param]: z.string() }) } : {}),
      ...(route.query instanceof z.ZodObject ? { query: route.query } : {}),
      ...(route.body ? { body: { required: true, content: json(route.body) } } : {}),
    },
    responses: {
      [route.status ?? 200]: { description: 'Done', content: json(route.answer) },
      default: { description: 'Refused', content: json(ErrorBody) },
    },
  };
}
