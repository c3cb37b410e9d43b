/** Requests to one gateway's admin API. Owns: the message when it cannot be reached or refuses. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Api, readDocument } from './document.ts';
import type { Target } from './profile.ts';
import { type CliWorld, Failed } from './world.ts';

export interface Request {
  method: string;
  path: string;
  query?: Readonly<Record<string, string>>;
  body?: unknown;
}

export interface Client {
  /** Returns the JSON of a response that is 2xx, null where it has no body. @throws Failed */
  json(request: Request): Promise<unknown>;
  /** Returns the bytes of a download as they come. @throws Failed */
  download(request: Request): Promise<AsyncIterable<Uint8Array>>;
}

const HEAD_TIMEOUT_MS = 60_000;

const ErrorBody = z.looseObject({ error: z.looseObject({ message: z.string(), code: z.string() }) });

export function createClient(target: Target): Client {
  const { url } = target;
  async function send({ method, path, query = {}, body }: Request): Promise<Response> {
    const key = target.key();
    const search = new URLSearchParams(query).toString();
    // Of the head alone: a download may take longer.
    const head = new AbortController();
    const timer = setTimeout(() => head.abort(), HEAD_TIMEOUT_MS);
    let response: Response;
    try {
      response = await fetch(`${url}${path}${search && `?${search}`}`, {
        method,
        redirect: 'manual',
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        signal: head.signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw new Failed(
        `cannot reach ${url}: ${reasonOf(error)}. Name the gateway with --gateway, TOLLGATE_URL or a profile`,
      );
    } finally {
      clearTimeout(timer);
    }
    if (response.ok) return response;
    throw new Failed(await errorOf(response, url));
  }
  return {
    json: async (request) => {
      const text = await (await send(request)).text();
      if (text === '') return null;
      try {
        return JSON.parse(text);
      } catch {
        throw new Failed(`${url} returned no JSON: is it a Tollgate gateway?`);
      }
    },
    download: async (request) => (await send(request)).body ?? emptyBody(),
  };
}

async function* emptyBody(): AsyncGenerator<Uint8Array> {}

function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'AbortError')
    return `no response in ${HEAD_TIMEOUT_MS / 1_000} s`;
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error
    ? cause.message || String((cause as NodeJS.ErrnoException).code)
    : String(cause);
}

async function errorOf(response: Response, url: string): Promise<string> {
  const text = await response.text();
  const body = ErrorBody.safeParse(parsed(text));
  if (body.success) return `${body.data.error.message} (${body.data.error.code})`;
  return `${url} returned ${response.status} without a Tollgate error: is it a Tollgate gateway?`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Returns what that gateway's admin API offers, and keeps the document for help and completion. @throws Failed */
export async function fetchApi(target: Target, world: CliWorld): Promise<Api> {
  const json = await createClient(target).json({ method: 'GET', path: '/admin/v1/openapi.json' });
  const api = apiOf(json, target.url);
  const path = cachePath(target.url, world);
  try {
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(json));
    renameSync(`${path}.${process.pid}`, path);
  } catch {
    // Without a cache only help and completion away from the gateway miss something.
  }
  return api;
}

/** Returns what the gateway offered when it was last asked; null: it never was. */
export function cachedApi(url: string, world: CliWorld): Api | null {
  try {
    return readDocument(JSON.parse(readFileSync(cachePath(url, world), 'utf8')));
  } catch {
    return null;
  }
}

function apiOf(json: unknown, url: string): Api {
  try {
    return readDocument(json);
  } catch {
    throw new Failed(`${url} returned no document of an admin API: is it a Tollgate gateway?`);
  }
}

function cachePath(url: string, { env, home }: CliWorld): string {
  const name = createHash('sha256').update(url).digest('hex').slice(0, 16);
  return join(env.XDG_CACHE_HOME || join(home, '.cache'), 'tollgate', `admin-api-${name}.json`);
}
