/**
 * What stands beside the API, for judges and tests: the invoice, its total, what is in flight, and the profile of a
 * running simulator. `GET /invoice[?after=N&limit=M]`, `GET /invoice/total`, `GET /in-flight` (requests by key id), `GET` and
 * `PATCH /profile` (with `mode`), `GET /healthz`. `POST /storage-day` bills a day of storage, `POST /plant` what no request asked
 * for (plant.ts), `POST /taken` says how many events with text the client of a stream has (`awaits_client`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ApiState } from './exchange.ts';
import { isObject } from './fields.ts';
import type { InvoiceLine } from './invoice.ts';
import { plant } from './plant.ts';
import { DEFAULT_PROFILE, LIMIT_NAMES, mergeProfile, type Profile, USAGE_REPORTS } from './profile.ts';
import { HABITS, REASONING_CONTEXTS } from './reading.ts';
import { billStorage } from './storage.ts';
import { TOKENISERS } from './tokens.ts';

export function handleControl(
  state: ApiState,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
): void {
  // Not `new URL`: it throws on targets such as `//`.
  const [path, query] = (request.url ?? '/').split('?', 2);
  switch (`${request.method} ${path}`) {
    case 'GET /invoice':
      sendInvoice(state, response, new URLSearchParams(query));
      break;
    case 'GET /invoice/total':
      sendJson(response, 200, state.invoice.summary());
      break;
    case 'POST /storage-day':
      sendJson(response, 200, billStorage(state));
      break;
    case 'POST /plant':
      plantOne(state, response, body);
      break;
    case 'POST /taken':
      take(state, response, body);
      break;
    case 'GET /in-flight':
      sendJson(response, 200, Object.fromEntries(state.inFlight));
      break;
    case 'GET /profile':
      sendJson(response, 200, { mode: state.mode, ...state.profile });
      break;
    case 'PATCH /profile':
      changeProfile(state, response, body);
      break;
    case 'GET /healthz':
      sendJson(response, 200, { status: 'ok', pid: process.pid });
      break;
    default:
      sendJson(response, 404, {
        error: 'The API is at /v1; beside it: /invoice, /invoice/total, /in-flight, /profile, /healthz.',
      });
  }
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

/** Lines of one piece of the listing: a million lines make no single string. */
const PIECE_LINES = 1000;

function sendInvoice(state: ApiState, response: ServerResponse, query: URLSearchParams): void {
  const after = Number(query.get('after') ?? 0);
  const limit = Number(query.get('limit') ?? Number.MAX_SAFE_INTEGER);
  if (!Number.isSafeInteger(after) || !Number.isSafeInteger(limit) || after < 0 || limit < 0) {
    sendJson(response, 400, { error: 'after and limit are whole numbers' });
    return;
  }
  const lines = state.invoice.lines(after, limit);
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write(`${JSON.stringify(state.invoice.summary()).slice(0, -1)},"lines":[`);
  writeLines(response, lines, 0);
}

function writeLines(response: ServerResponse, lines: InvoiceLine[], first: number): void {
  let next = first;
  while (next < lines.length) {
    if (response.destroyed) return;
    const piece = lines.slice(next, next + PIECE_LINES).map((line) => JSON.stringify(line));
    const flowing = response.write((next > 0 ? ',' : '') + piece.join(','));
    next += PIECE_LINES;
    if (!flowing && next < lines.length) {
      response.once('drain', () => writeLines(response, lines, next));
      return;
    }
  }
  response.end(']}');
}

function plantOne(state: ApiState, response: ServerResponse, body: Buffer): void {
  try {
    const value: unknown = JSON.parse(body.toString());
    const made = Array.isArray(value) ? value.map((each) => plant(state, each)) : plant(state, value);
    sendJson(response, 200, made);
  } catch (error) {
    sendJson(response, 400, { error: error instanceof Error ? error.message : String(error) });
  }
}

function take(state: ApiState, response: ServerResponse, body: Buffer): void {
  try {
    const value: unknown = JSON.parse(body.toString());
    if (!isObject(value) || typeof value.events !== 'number') throw new RangeError('events is a number');
    state.taken.get(String(value.client_request_id))?.has(value.events);
    sendJson(response, 200, {});
  } catch (error) {
    sendJson(response, 400, { error: error instanceof Error ? error.message : String(error) });
  }
}

function changeProfile(state: ApiState, response: ServerResponse, body: Buffer): void {
  try {
    const value: unknown = JSON.parse(body.toString());
    if (!isObject(value)) throw new RangeError('a profile is an object');
    const { mode = state.mode, ...change } = value;
    if (mode !== 'normal' && mode !== 'worst') throw new RangeError(`unknown mode: ${String(mode)}`);
    for (const name in change)
      if (!isChange(name, change[name])) throw new RangeError(`not a setting: ${name}`);
    state.profile = mergeProfile(state.profile, change as Partial<Profile>);
    state.mode = mode;
    sendJson(response, 200, { mode, ...state.profile });
  } catch (error) {
    sendJson(response, 400, { error: error instanceof Error ? error.message : String(error) });
  }
}

/** Settings that are one of a few. */
const CHOICES: Record<string, readonly string[]> = {
  limitNames: LIMIT_NAMES,
  usageReports: USAGE_REPORTS,
  reasoningContext: REASONING_CONTEXTS,
  habit: HABITS,
  tokeniser: TOKENISERS,
};

function isChange(name: string, value: unknown): boolean {
  if (!Object.hasOwn(DEFAULT_PROFILE, name)) return false;
  if (name === 'faults') return isObject(value);
  const choices = CHOICES[name];
  if (choices !== undefined) return choices.some((each) => each === value);
  const known: unknown = DEFAULT_PROFILE[name as keyof Profile];
  return typeof value === typeof known;
}
