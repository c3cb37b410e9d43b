/** The demo's stack with a company in it: a gateway, a simulated OpenAI and two months of history. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { startDemoStack } from '../../src/demo/stack.ts';
import { messageOf } from '../../src/domain/notice-message.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { openDatabase } from '../../src/store/database.ts';
import { startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { adopt } from '../../src/store/hot/flush.ts';
import { readDigest } from '../../src/store/notice-facts.ts';
import { DEPARTMENTS, type Department, historyOf, type MadeTeam } from './company.ts';

const BATCH = 500;
const PORT = 8790;

export interface Company {
  url: string;
  adminKey: string;
  /** By name. */
  teamIds: Map<string, string>;
  admin<T>(method: string, path: string, body?: object): Promise<T>;
  /** The monthly digest of the whole company as its mail has it, in HTML. */
  digest(): Promise<string>;
  close(): Promise<void>;
}

export async function openCompany(): Promise<Company> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-screenshots-'));
  const options = { port: PORT, dataDir, callsPerSecond: 0, durationSeconds: null, against: null };
  const stack = await startDemoStack(options, 'screenshots');
  const { url, adminKey } = stack.app;
  const admin = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const response = await fetch(`${url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const teams = new Map<string, MadeTeam>();
  const above = await createDepartments(admin);
  for (const department of DEPARTMENTS)
    teams.set(department.name, await createTeam(department, above, admin));
  await writeHistory(dataDir, teams);
  await spend(`${url}/v1`, (name) => teams.get(name)!.keys[0]!);
  await divideMoney(admin, teams);
  return {
    url,
    adminKey,
    teamIds: new Map([...teams].map(([name, { id }]) => [name, id])),
    admin,
    digest: () => digestOf(dataDir),
    async close() {
      await stack.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

type Admin = Company['admin'];

/** What finance and those who check say: tags, limits on them, a raise, recipients, labels. */
async function divideMoney(admin: Admin, teams: Map<string, MadeTeam>): Promise<void> {
  await admin('POST', '/tags', { name: 'project', idle_days: 14 });
  await admin('POST', '/tags', { name: 'stage', values: ['test', 'staging', 'production'] });
  await admin('POST', '/tags', {
    name: 'run',
    pattern: 'run-*',
    sources: ['header', 'metadata'],
    idle_days: 7,
  });
  const month = { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' };
  const atlas = { type: 'tag', name: 'project', value: 'atlas' };
  const named = { name: 'Atlas, a month', subject: atlas, meter: 'cost_usd', amount: '800', window: month };
  const { id } = await admin<{ id: string }>('POST', '/limits', named);
  await admin('POST', `/limits/${id}/raises`, {
    ...{
      amount: '150',
      until: new Date(Date.now() + 5 * 86_400_000).toISOString(),
      reason: 'the conference',
    },
  });
  await admin('POST', '/limits', {
    ...{ name: 'Each run at most $2', subject: { type: 'tag', name: 'run' }, meter: 'cost_usd', amount: '2' },
    window: { type: 'lifetime' },
  });
  for (const [team, address, wants] of [
    ['research', 'lead@research.example', ['warning', 'projection', 'spike', 'weekly']],
    ['product', 'lead@product.example', ['warning', 'weekly']],
  ] as const) {
    const subject = { type: 'team', id: teams.get(team)?.id };
    await admin('POST', '/recipients', { subject, kind: 'email', address, wants });
  }
  await admin('POST', '/recipients', {
    ...{
      subject: { type: 'org' },
      kind: 'email',
      address: 'finance@company.example',
      wants: ['monthly', 'warning'],
    },
  });
  const calls = await admin<{ data: { id: string; model: string }[] }>(
    'GET',
    '/events?order=desc&outcome=settled&labelled=wanted&limit=160',
  );
  for (const [place, { id: call, model }] of calls.data.entries()) {
    if (place < 8 || place % 2 === 1) continue;
    const good = /sol|astra/.test(model) ? 8 : /terra/.test(model) ? 6 : 5;
    const label = (place * 7) % 9 < good ? 'accepted' : place % 3 === 0 ? 'edited' : 'rejected';
    const reason = label === 'rejected' ? 'cites a source that does not exist' : null;
    await admin('POST', '/labels', { call_id: call, label, reason });
  }
}

/** A company of two divisions, each with its budget. Returns their ids by name, from the lowest up. */
async function createDepartments(admin: Admin): Promise<Map<string, string[]>> {
  const made = new Map<string, string[]>();
  for (const [name, parent, amount] of [
    ['Company', null, '2500'],
    ['Science', 'Company', '1500'],
    ['Products', 'Company', '700'],
  ] as const) {
    const above = parent === null ? [] : (made.get(parent) ?? []);
    const { id } = await admin<{ id: string }>('POST', '/departments', { name, parent_id: above[0] ?? null });
    made.set(name, [id, ...above]);
    await admin('POST', '/limits', {
      ...{ name: `${name}, a month`, subject: { type: 'department', id }, meter: 'cost_usd', amount },
      window: { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' },
    });
  }
  return made;
}

async function createTeam(
  { name, plan, limits, keys, above }: Department,
  tree: Map<string, string[]>,
  admin: Admin,
): Promise<MadeTeam> {
  const path = above === null ? null : (tree.get(above) ?? null);
  const { id } = await admin<{ id: string }>('POST', '/teams', {
    ...{ name, plan },
    ...(path === null ? {} : { department_id: path[0] }),
  });
  const made: { id: string; key: string }[] = [];
  for (const key of keys) made.push(await admin('POST', '/keys', { team_id: id, name: key }));
  for (const { amount, unit } of limits) {
    const window =
      unit === null ? { type: 'lifetime' } : { type: 'calendar', unit, time_zone: 'Europe/Berlin' };
    await admin('POST', '/limits', { subject: { type: 'team', id }, meter: 'cost_usd', amount, window });
  }
  const departments = path === null ? null : `{${path.join(',')}}`;
  return { id, keyIds: made.map((key) => key.id), keys: made.map((key) => key.key), departments };
}

/** Writes the history as if the journal of a dead instance were adopted. */
async function writeHistory(dataDir: string, teams: Map<string, MadeTeam>): Promise<void> {
  const server = await startEmbedded({ dataDir });
  const database = openDatabase(server.connection);
  const nowMs = Date.now();
  const instanceId = uuidV7(nowMs);
  const events = DEPARTMENTS.flatMap((department) =>
    historyOf(department, teams.get(department.name)!, instanceId, nowMs),
  );
  for (let first = 0; first < events.length; first += BATCH) {
    await adopt(database.sql, instanceId, events.slice(first, first + BATCH));
  }
  await database.close();
}

/** Of the last whole month of UTC. */
async function digestOf(dataDir: string): Promise<string> {
  const server = await startEmbedded({ dataDir });
  const database = openDatabase(server.connection);
  const [year, month] = [new Date().getUTCFullYear(), new Date().getUTCMonth()];
  const [before, from, to] = [2, 1, 0].map((ago) => new Date(Date.UTC(year, month - ago))) as [
    Date,
    Date,
    Date,
  ];
  const about = { kind: 'monthly', teamIds: undefined, team: null } as const;
  const facts = await readDigest(database, about, { before, from, to });
  await database.close();
  return messageOf(facts, 'en', null).html;
}

/** Makes the calls of today with the SDK: some large, one whose response is lost, and interns up to their limit. */
async function spend(baseURL: string, keyOf: (team: string) => string): Promise<void> {
  const client = (team: string) =>
    new OpenAI({ baseURL, apiKey: keyOf(team), organization: null, project: null, maxRetries: 0 });
  const call = (team: string, model: string, output: number, directives = '') =>
    client(team).chat.completions.create(
      {
        model,
        messages: [{ role: 'user', content: 'Turn these notes into a release announcement.' }],
        max_completion_tokens: output,
      },
      { headers: { 'x-simulator': `output=${output},mode=normal${directives}` } },
    );
  for (let count = 0; count < 3; count++) await call('trial', 'gpt-5.6-sol', 110_000);
  for (const model of ['gpt-5.6-terra', 'gpt-5.6-luna', 'gpt-5.6-terra']) await call('product', model, 900);
  for (const model of ['gpt-6-astra', 'gpt-5.6-sol', 'gpt-5.6-sol']) await call('research', model, 1_200);
  await call('support', 'gpt-5.4-nano', 400);
  await call('research', 'gpt-5.6-sol', 2_000, ',fault=cut_before_headers').catch(() => {});
  for (let count = 0; count < 24; count++) await call('interns', 'gpt-5.6-terra', 300).catch(() => {});
}
