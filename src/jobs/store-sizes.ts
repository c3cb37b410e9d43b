/** What vector stores take, read with the official SDK. */
import OpenAI from 'openai';
import type { ReadBytes } from './storage.ts';

/** Where stores are kept, and the key to ask with. */
export interface StoreUpstream {
  baseUrl: string;
  apiKey: string;
}

const TIMEOUT_MS = 30_000;

/**
 * Reads sizes from the upstream that keeps the store. Rejects with the SDK's error.
 * @param find the upstream of a name; null names the only one
 */
export function createReadBytes(find: (name: string | null) => StoreUpstream | null): ReadBytes {
  const clients = new Map<string, OpenAI>();
  const clientOf = ({ baseUrl, apiKey }: StoreUpstream) => {
    const name = `${baseUrl} ${apiKey}`;
    // Sets every option, so that the SDK reads no `OPENAI_…` variable of the environment.
    const client =
      clients.get(name) ??
      new OpenAI({
        apiKey,
        adminAPIKey: null,
        organization: null,
        project: null,
        baseURL: baseUrl,
        timeout: TIMEOUT_MS,
        maxRetries: 2,
        logLevel: 'off',
      });
    clients.set(name, client);
    return client;
  };
  return async ({ id, upstream }, signal) => {
    const found = find(upstream);
    if (found === null)
      throw new Error(`the upstream '${upstream}' of the vector store ${id} is not configured`);
    try {
      const { usage_bytes: bytes } = await clientOf(found).vectorStores.retrieve(id, { signal });
      if (!Number.isSafeInteger(bytes) || bytes < 0) throw new Error(`the vector store ${id} has no size`);
      return bytes;
    } catch (error) {
      if (error instanceof OpenAI.NotFoundError) return null;
      throw error;
    }
  };
}
