/** The demo's stack with a company in it: a gateway, a simulated OpenAI and two months of history. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { startDemoStack } from '../../src/demo/stack.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { openDatabase } from '../../src/store/database.ts';
import { startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { adopt } from '../../src/store/hot/flush.ts';
import { DEPARTMENTS, type Department, historyOf } from './company.ts';

const BATCH = 500;
const PORT = 8790;

export interface Company {
  url: string;
  adminKey: string;
  /** By name. */
  teamIds: Map<string, string>;
  admin<T>(method: string, path: string, body?: object): Promise<T>;
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
  const teams = new Map<string, { id: string; keyIds: string[]; keys: string[] }>();
  for (const department of DEPARTMENTS) teams.set(department.name, await createTeam(department, admin));
  await writeHistory(dataDir, teams);
  await spend(`${url}/v1`, (name) => teams.get(name)!.keys[0]!);
  return {
    url,
    adminKey,
    teamIds: new Map([...teams].map(([name, { id }]) => [name, id])),
    admin,
    async close() {
      await stack.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

type Admin = Company['admin'];

async function createTeam({ name, plan, limits, keys }: Department, admin: Admin) {
  const { id } = await admin<{ id: string }>('POST', '/teams', { name, plan });
  const made: { id: string; key: string }[] = [];
  for (const key of keys) made.push(await admin('POST', '/keys', { team_id: id, name: key }));
  for (const { amount, unit } of limits) {
    const window =
      unit === null ? { type: 'lifetime' } : { type: 'calendar', unit, time_zone: 'Europe/Berlin' };
    await admin('POST', '/limits', { subject: { type: 'team', id }, meter: 'cost_usd', amount, window });
  }
  return { id, keyIds: made.map((key) => key.id), keys: made.map((key) => key.key) };
}

/** Writes the history as if the journal of a dead instance were adopted. */
async function writeHistory(
  dataDir: string,
  teams: Map<string, { id: string; keyIds: string[] }>,
): Promise<void> {
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
