/** The admin API over HTTP, as anybody's dashboard would use it: nothing in the demo looks behind it. */
import type { z } from 'zod';

export interface AdminClient {
  /** Answers what the schema reads. Rejects with the API's own words when it refuses. */
  get<T>(path: string, schema: z.ZodType<T>): Promise<T>;
  post<T>(path: string, body: object, schema: z.ZodType<T>): Promise<T>;
  remove(path: string): Promise<void>;
}

const TIMEOUT_MS = 10_000;

export function createAdminClient(url: string, adminKey: string): AdminClient {
  async function ask(method: string, path: string, body?: object): Promise<Response> {
    const response = await fetch(`${url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) {
      throw new Error(`${method} /admin/v1${path} answered ${response.status}: ${await response.text()}`);
    }
    return response;
  }
  return {
    get: async (path, schema) => schema.parse(await (await ask('GET', path)).json()),
    post: async (path, body, schema) => schema.parse(await (await ask('POST', path, body)).json()),
    remove: async (path) => void (await ask('DELETE', path)).body?.cancel(),
  };
}
