/** A client of the admin API over HTTP. The demo uses no other way to the gateway's data. */
import type { z } from 'zod';

export interface AdminClient {
  /** Returns what the schema reads. Rejects with the API's message when it responds with an error. */
  get<T>(path: string, schema: z.ZodType<T>): Promise<T>;
  post<T>(path: string, body: object, schema: z.ZodType<T>): Promise<T>;
  remove(path: string): Promise<void>;
}

const TIMEOUT_MS = 10_000;

export function createAdminClient(url: string, adminKey: string): AdminClient {
  async function request(method: string, path: string, body?: object): Promise<Response> {
    const response = await fetch(`${url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) {
      throw new Error(`${method} /admin/v1${path} responded ${response.status}: ${await response.text()}`);
    }
    return response;
  }
  return {
    get: async (path, schema) => schema.parse(await (await request('GET', path)).json()),
    post: async (path, body, schema) => schema.parse(await (await request('POST', path, body)).json()),
    remove: async (path) => void (await request('DELETE', path)).body?.cancel(),
  };
}
