/**
 * The web console's files, `/console` and everything below it, and at `/console/api` a page to read and try the admin API.
 * Owns: the headers that keep the pages to themselves. Invariants: only what the folders held when a page was first asked for
 * is served; a path that is no file is a page of the console, which finds its way by itself.
 */
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Context, Hono } from 'hono';

const BUILT = fileURLToPath(new URL('../../console/dist', import.meta.url));
const API_PAGE = new URL('./api-page/', import.meta.url);

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

/** @param folder the built console; default: the one that comes with Tollgate */
export function createConsole(folder: string = BUILT): Hono {
  let files: Map<string, StaticFile> | null = null;
  const app = new Hono();
  app.use('/console/*', async (context, next) => {
    await next();
    for (const [name, value] of Object.entries(HEADERS)) context.header(name, value);
  });
  const serve = async (context: Context): Promise<Response> => {
    files ??= new Map([...readFolder(folder), ...apiPage()]);
    const file = files.get(context.req.path.slice('/console/'.length)) ?? files.get('index.html');
    if (file) return answerFile(context, file);
    return context.text('The console was not built: npm run build:console\n', 404);
  };
  app.get('/console', serve);
  app.get('/console/*', serve);
  return app;
}

function apiPage(): [string, StaticFile][] {
  const read = (url: URL | string) => readFile(fileURLToPath(url));
  const page = read(new URL('index.html', API_PAGE));
  return [
    ['api', page],
    ['api/', page],
    ['api/start.js', read(new URL('start.js', API_PAGE))],
    ['api/swagger-ui.css', read(import.meta.resolve('swagger-ui-dist/swagger-ui.css'))],
    ['api/swagger-ui-bundle.js', read(import.meta.resolve('swagger-ui-dist/swagger-ui-bundle.js'))],
  ];
}

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

interface StaticFile {
  bytes: Buffer<ArrayBuffer>;
  type: string;
  etag: string;
  /** Made when it is first asked for. */
  packed: Promise<Buffer<ArrayBuffer>> | null;
}

/** Every file of a folder by its path in there; none when there is no such folder. */
function readFolder(folder: string): Map<string, StaticFile> {
  if (!existsSync(folder)) return new Map();
  const paths = globSync('**/*.*', { cwd: folder }).map((path) => path.replaceAll('\\', '/'));
  return new Map(paths.map((path) => [path, readFile(join(folder, path))]));
}

function readFile(path: string): StaticFile {
  const bytes = readFileSync(path);
  const etag = `W/"${createHash('sha256').update(bytes).digest('base64url')}"`;
  return { bytes, etag, type: TYPES[extname(path)] ?? 'application/octet-stream', packed: null };
}

/** Revalidated each time, with 304 while it is unchanged: a new version shows at once. */
async function answerFile(context: Context, file: StaticFile): Promise<Response> {
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
