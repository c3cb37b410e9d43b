/** Files that are read once and served from memory, packed for who can unpack them. */
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Context } from 'hono';

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

export interface StaticFile {
  bytes: Buffer<ArrayBuffer>;
  type: string;
  etag: string;
  /** Made when it is first asked for. */
  packed: Promise<Buffer<ArrayBuffer>> | null;
}

/** Every file of a folder by its path in there; none when there is no such folder. */
export function readFolder(folder: string): Map<string, StaticFile> {
  if (!existsSync(folder)) return new Map();
  const paths = globSync('**/*.*', { cwd: folder }).map((path) => path.replaceAll('\\', '/'));
  return new Map(paths.map((path) => [path, readFile(join(folder, path))]));
}

export function readFile(path: string): StaticFile {
  const bytes = readFileSync(path);
  const etag = `W/"${createHash('sha256').update(bytes).digest('base64url')}"`;
  return { bytes, etag, type: TYPES[extname(path)] ?? 'application/octet-stream', packed: null };
}

/** Asked again each time, and answered with nothing while it is the same: a new version shows at once. */
export async function answerFile(context: Context, file: StaticFile): Promise<Response> {
  context.header('cache-control', 'no-cache');
  context.header('etag', file.etag);
  context.header('vary', 'accept-encoding');
  if (context.req.header('if-none-match') === file.etag) return context.body(null, 304);
  context.header('content-type', file.type);
  if (!/\bgzip\b/.test(context.req.header('accept-encoding') ?? '')) return context.body(file.bytes);
  file.packed ??= promisify(gzip)(file.bytes) as Promise<Buffer<ArrayBuffer>>;
  context.header('content-encoding', 'gzip');
  return context.body(await file.packed);
}
