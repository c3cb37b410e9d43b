/**
 * The web console's files, `/console` and everything below it, and at `/console/api` a page to read and try the admin API.
 * Owns: the headers that keep the pages to themselves. Invariants: only what the folders held at the start is served; a
 * path that is no file is a page of the console, which finds its way by itself.
 */
import { fileURLToPath } from 'node:url';
import { type Context, Hono } from 'hono';
import { answerFile, readFile, readFolder, type StaticFile } from './static-files.ts';

const BUILT = fileURLToPath(new URL('../console/dist', import.meta.url));
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
  const files = new Map([...readFolder(folder), ...apiPage()]);
  const app = new Hono();
  app.use('/console/*', async (context, next) => {
    await next();
    for (const [name, value] of Object.entries(HEADERS)) context.header(name, value);
  });
  const serve = async (context: Context): Promise<Response> => {
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
