/**
 * The OpenAPI document. Owns: what it holds beside the routes of the admin API, which describe themselves (route.ts):
 * security schemes, signing in, and self-service. Other files serve those two, by the same schemas.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  Balance,
  ErrorBody,
  Event,
  Events,
  Label,
  NewLabel,
  NewSession,
  SelfServiceCallsQuery,
  SelfServiceUsageQuery,
  Session,
  Usage,
} from './contract.ts';
import { ROOT } from './route.ts';

/** Call it last: the document is generated once, of the routes that the app has by then. */
export function documentRoute(app: OpenAPIHono): void {
  const registry = app.openAPIRegistry;
  registry.registerComponent('securitySchemes', 'adminKey', { type: 'http', scheme: 'bearer' });
  registry.registerComponent('securitySchemes', 'serviceToken', { type: 'http', scheme: 'bearer' });
  registry.registerComponent('securitySchemes', 'session', {
    type: 'apiKey',
    in: 'cookie',
    name: 'tollgate_session',
    description: 'From POST /console/session. A change also needs its `csrf` in the header x-tollgate-csrf.',
  });
  registry.registerComponent('securitySchemes', 'virtualKey', { type: 'http', scheme: 'bearer' });
  describeSession(app);
  describeSelfService(app);
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Tollgate admin API', version: '1' },
  });
  app.get(`${ROOT}/openapi.json`, (context) => context.json(document));
}

const json = (schema: z.ZodType) => ({ 'application/json': { schema } });
const failed = { description: 'A denial or an error', content: json(ErrorBody) };

function describeSession({ openAPIRegistry: registry }: OpenAPIHono): void {
  const common = { path: '/console/session', tags: ['session'] };
  const opened = { description: 'Signed in', content: json(Session) };
  registry.registerPath({
    ...common,
    method: 'post',
    summary: 'Sign in with the admin key or a virtual key: sets the cookie of the session',
    security: [],
    request: { body: { required: true, content: json(NewSession) } },
    responses: { 200: opened, default: failed },
  });
  registry.registerPath({
    ...common,
    method: 'get',
    summary: 'Show who is signed in',
    security: [{ session: [] }],
    responses: { 200: opened, 204: { description: 'No session' } },
  });
  registry.registerPath({
    ...common,
    method: 'delete',
    summary: 'Sign out',
    security: [{ session: [] }],
    responses: { 204: { description: 'Signed out' } },
  });
}

function describeSelfService({ openAPIRegistry: registry }: OpenAPIHono): void {
  const common = { method: 'get' as const, tags: ['self-service'], security: [{ virtualKey: [] }] };
  registry.registerPath({
    ...common,
    path: '/v1/tollgate/balance',
    summary: 'Show what the team of the calling key has, and the limits on the team and on the key',
    responses: { 200: { description: 'Done', content: json(Balance) }, default: failed },
  });
  registry.registerPath({
    ...common,
    path: '/v1/tollgate/usage',
    summary: 'Sum the usage of the calling key alone',
    request: { query: SelfServiceUsageQuery },
    responses: { 200: { description: 'Done', content: json(Usage) }, default: failed },
  });
  registry.registerPath({
    ...common,
    path: '/v1/tollgate/calls',
    summary: 'List the calls of the calling key, newest first',
    request: { query: SelfServiceCallsQuery },
    responses: { 200: { description: 'Done', content: json(Events) }, default: failed },
  });
  registry.registerPath({
    ...common,
    path: '/v1/tollgate/calls/{id}',
    summary: 'Show one call of the calling key by its x-tollgate-request-id: its tokens, its cost, its times',
    request: { params: z.object({ id: z.uuid() }) },
    responses: { 200: { description: 'Done', content: json(Event) }, default: failed },
  });
  registry.registerPath({
    ...common,
    method: 'post',
    path: '/v1/tollgate/labels',
    summary:
      "Say whether the answer of a call of the key's team was right; the key's label before is replaced",
    request: { body: { required: true, content: json(NewLabel) } },
    responses: { 201: { description: 'Done', content: json(Label) }, default: failed },
  });
}
