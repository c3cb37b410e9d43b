/**
 * The OpenAPI document. Owns: what stands in it beside the routes of the admin API, which describe themselves (route.ts):
 * who may ask, signing in, and the key holder's own view. Both are served elsewhere, by the same schemas.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { Balance, ErrorBody, NewSession, OwnUsageQuery, Session, Usage } from './contract.ts';
import { ROOT } from './route.ts';

/** The document is generated once: nothing is added to the app later. */
export function serveDocument(app: OpenAPIHono): void {
  const registry = app.openAPIRegistry;
  registry.registerComponent('securitySchemes', 'adminKey', { type: 'http', scheme: 'bearer' });
  registry.registerComponent('securitySchemes', 'session', {
    type: 'apiKey',
    in: 'cookie',
    name: 'tollgate_session',
    description: 'From POST /console/session. A change also needs its `csrf` in the header x-tollgate-csrf.',
  });
  registry.registerComponent('securitySchemes', 'virtualKey', { type: 'http', scheme: 'bearer' });
  describeSession(app);
  describeOwnView(app);
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Tollgate admin API', version: '1' },
  });
  app.get(`${ROOT}/openapi.json`, (context) => context.json(document));
}

const json = (schema: z.ZodType) => ({ 'application/json': { schema } });
const refused = { description: 'Refused', content: json(ErrorBody) };

function describeSession({ openAPIRegistry: registry }: OpenAPIHono): void {
  const common = { path: '/console/session', tags: ['session'] };
  const opened = { description: 'Signed in', content: json(Session) };
  registry.registerPath({
    ...common,
    method: 'post',
    summary: 'Sign in with the admin key or a virtual key: sets the cookie of the session',
    security: [],
    request: { body: { required: true, content: json(NewSession) } },
    responses: { 200: opened, default: refused },
  });
  registry.registerPath({
    ...common,
    method: 'get',
    summary: 'Show who is signed in',
    security: [{ session: [] }],
    responses: { 200: opened, 204: { description: 'Nobody is signed in' } },
  });
  registry.registerPath({
    ...common,
    method: 'delete',
    summary: 'Sign out',
    security: [{ session: [] }],
    responses: { 204: { description: 'Signed out' } },
  });
}

function describeOwnView({ openAPIRegistry: registry }: OpenAPIHono): void {
  const common = { method: 'get' as const, tags: ['own view'], security: [{ virtualKey: [] }] };
  registry.registerPath({
    ...common,
    path: '/v1/tollgate/balance',
    summary: 'Show what the team of the calling key has, and the limits on the team and on the key',
    responses: { 200: { description: 'Done', content: json(Balance) }, default: refused },
  });
  registry.registerPath({
    ...common,
    path: '/v1/tollgate/usage',
    summary: 'Sum the usage of the calling key alone',
    request: { query: OwnUsageQuery },
    responses: { 200: { description: 'Done', content: json(Usage) }, default: refused },
  });
}
