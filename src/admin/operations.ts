/** Route: the operations of the OpenAI API that the gateway knows. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { OPERATIONS } from '../openai/operations/table.ts';
import { Operations, OperationsQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { route } from './route.ts';

export function operationsRoute(app: OpenAPIHono, _options: AdminOptions): void {
  const summary = 'List the operations that the gateway knows, and what becomes of each';
  route(
    app,
    {
      method: 'get',
      path: '/operations',
      summary,
      query: OperationsQuery,
      response: Operations,
    },
    async () => ({
      data: OPERATIONS.map(({ name, method, path, class: kind, reason }) => ({
        name,
        method,
        path: `/v1${path}`,
        class: kind,
        reason,
      })),
    }),
  );
}
