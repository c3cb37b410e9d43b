/** Texts that Postgres cannot store, a NUL or half a surrogate pair, wherever a client may write a text: no error of the gateway's own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import corpus from '../fuzz/corpus.json' with { type: 'json' };
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const TEXTS = ['a\0b', 'a\ud800'];

let stack: Stack;
let key: string;

beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_FREE_CALLS_PER_MINUTE: '100000' } });
  ({ key } = await stack.team({ grantUsd: '1000.00' }));
});
afterAll(() => stack.stop());

/** Returns the value once for each text in it, with another text there; names of members count too. */
function withText(value: unknown, text: string): unknown[] {
  if (typeof value === 'string') return [text];
  if (Array.isArray(value))
    return value.flatMap((item, at) => withText(item, text).map((changed) => value.with(at, changed)));
  if (typeof value !== 'object' || value === null) return [];
  const members = Object.entries(value);
  return members.flatMap(([name, member]) => [
    ...withText(member, text).map((changed) => ({ ...value, [name]: changed })),
    { ...value, [`${name}${text}`]: member },
  ]);
}

/** Returns the response when it is an error of the gateway's own making; null: it is none. */
async function fault(method: string, path: string, init: RequestInit = {}): Promise<string | null> {
  const headers = { authorization: `Bearer ${key}`, ...init.headers };
  const response = await fetch(`${stack.app.url}/v1${path}`, { ...init, method, headers });
  const text = await response.text();
  return response.status < 500 ? null : `${method} ${path} ${String(init.body)}: ${response.status} ${text}`;
}

const json = (body: unknown): RequestInit => ({
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
});

async function faultsOf(requests: (() => Promise<string | null>)[]): Promise<string[]> {
  const faults: (string | null)[] = [];
  const left = [...requests];
  const worker = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) faults.push(await next());
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return faults.filter((text) => text !== null);
}

describe.each(TEXTS)('%j', (text) => {
  it('in a body', async () => {
    const requests = corpus.examples.flatMap(({ method, path, body }) =>
      withText(body, text).map((changed) => () => fault(method, path, json(changed))),
    );
    expect(requests.length).toBeGreaterThan(300);
    expect(await faultsOf(requests)).toEqual([]);
  }, 120_000);

  it('in a file, its name and its purpose', async () => {
    const form = (purpose: string, name: string) => {
      const body = new FormData();
      body.set('purpose', purpose);
      body.set('file', new Blob([`{"custom_id":${JSON.stringify(text)}}\n`]), name);
      return body;
    };
    const forms = [form('batch', `${text}.jsonl`), form(text, 'a.jsonl'), form('batch', 'a.jsonl')];
    expect(await faultsOf(forms.map((body) => () => fault('POST', '/files', { body })))).toEqual([]);
  });
});

it('NUL in a path and in a query', async () => {
  const requests = corpus.paths.flatMap((line) => {
    const [method = 'GET', path = ''] = line.split(' ');
    const init = method === 'GET' ? {} : json({});
    const named = path.replaceAll(/\{[^}]*\}/g, 'a%00b');
    const query =
      'after=a%00b&before=%00&order=%00&limit=%00&purpose=%00&model=%00&metadata%5Ba%5D=%00&name=%00';
    return [() => fault(method, named, init), () => fault(method, `${named}?${query}`, init)];
  });
  expect(await faultsOf(requests)).toEqual([]);
}, 120_000);

it('leaves nothing behind that cannot be written: what came later is in the ledger', async () => {
  const body = { model: 'gpt-4o-mini', max_tokens: 5, messages: [{ role: 'user', content: 'Hello' }] };
  expect(await fault('POST', '/chat/completions', json(body))).toBeNull();
  await stack.settled();
  const [aside] = await stack.database.sql<{ count: number }[]>`
    select count(*)::int as count from quarantined_events`;
  expect(aside?.count).toBe(0);
});

describe.each(TEXTS)('%j, in the admin API', (text) => {
  const ask = async (method: string, path: string, body?: unknown) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' };
    const response = await fetch(`${stack.app.url}/admin/v1${path}`, { ...init, method, headers });
    return `${response.status} ${await response.text()}`;
  };

  it.each([
    ['/teams', { name: text, plan: null, unlimited: false }],
    ['/keys', { team_id: crypto.randomUUID(), name: text }],
    ['/unknown/release', { filter: { model: text }, reason: 'why not' }],
    ['/unknown/release', { filter: {}, reason: text }],
  ])('POST %s is refused with 400: %j', async (path, body) => {
    expect(await ask('POST', path, body)).toMatch(/^400 .*control character/);
  });

  it('in a path or in a query: refused, or nothing of that name', async () => {
    const url = encodeURIComponent(text.toWellFormed());
    expect(await ask('GET', `/events?model=${url}`)).toMatch(/^[24]/);
    for (const path of [`/prices/${url}`, `/tags/${url}`, `/tags/project/values/${url}`]) {
      expect(await ask('GET', path), path).toMatch(/^4/);
      expect(await ask('DELETE', path), path).toMatch(/^4/);
    }
  });
});
