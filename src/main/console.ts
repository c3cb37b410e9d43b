/**
 * The web console's files: `/console` and everything below it. Owns: the headers that keep the page to itself. Invariants:
 * only what the folder held at the start is served; a path that is no file is a page of the console, which finds its way
 * by itself.
 */
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Context, Hono } from 'hono';

const BUILT = fileURLToPath(new URL('../console/dist', import.meta.url));

/** Nothing from elsewhere, nothing inline: a text that slips into the page can neither run nor call anyone. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "font-src 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ');

const HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};

interface StaticFile {
  bytes: Buffer<ArrayBuffer>;
  type: string;
  etag: string;
}

/** @param folder the built console; default: the one that comes with Tollgate */
export function createConsole(folder: string = BUILT): Hono {
  const files = readFolder(folder);
  const app = new Hono();
  app.use('/console/*', async (context, next) => {
    await next();
    for (const [name, value] of Object.entries(HEADERS)) context.header(name, value);
  });
  const serve = (context: Context) => {
    const file = files.get(context.req.path.slice('/console/'.length)) ?? files.get('index.html');
    return file
      ? answer(context, file)
      : context.text('The console was not built: npm run build:console\n', 404);
  };
  app.get('/console', serve);
  app.get('/console/*', serve);
  return app;
}

function readFolder(folder: string): Map<string, StaticFile> {
  if (!existsSync(folder)) return new Map();
  const paths = globSync('**/*.*', { cwd: folder }).map((path) => path.replaceAll('\\', '/'));
  return new Map(paths.map((path) => [path, readFile(join(folder, path))]));
}

function readFile(path: string): StaticFile {
  const bytes = readFileSync(path);
  const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
  return { bytes, etag, type: TYPES[extname(path)] ?? 'application/octet-stream' };
}

/** Asked again each time, and answered with nothing while it is the same: a new version shows at once. */
function answer(context: Context, { bytes, type, etag }: StaticFile): Response {
  context.header('cache-control', 'no-cache');
  context.header('etag', etag);
  if (context.req.header('if-none-match') === etag) return context.body(null, 304);
  return context.body(bytes, 200, { 'content-type': type });
}
