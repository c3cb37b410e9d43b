/**
 * The outage: real clients against an upstream that fails, through Tollgate. Each client sends one prompt, with its default
 * retries, as a team of its own. The promise: a prompt is charged at most its own bill and two holds, and one command
 * releases all of it. Owns: what is run and judged. Loopback only; clients are installed outside the repository.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { freePort, start, stopAll, waitUntilReady } from '../processes.ts';
import { type Client, clientsIn } from './clients.ts';
import { FAILURES, FailingUpstream, type Mode } from './upstream.ts';

const ADMIN_KEY = 'admin-key-of-the-outage';
const HOLDS = 2n;

interface Row {
  client: string;
  mode: Mode;
  sent: number;
  charged: bigint;
  holds: bigint[];
  ended: string;
}

const HELP = `Usage: npm run outage -- [options]

Real clients, with their default retries, against an upstream that fails, through Tollgate; prints what each prompt was charged.

  --clients FOLDER  where 'npm run test:clients' installed them (${join(tmpdir(), 'tollgate-clients')})
  --only TEXT       clients with this in their name (all)
  --help
`;

const values = readArguments();

/** Ends the process where help is asked for, or the line is wrong. */
function readArguments(): { clients: string; only: string } {
  try {
    const { values: read } = parseArgs({
      options: {
        clients: { type: 'string', default: join(tmpdir(), 'tollgate-clients') },
        only: { type: 'string', default: '' },
        help: { type: 'boolean', default: false },
      },
    });
    if (!read.help) return read;
    process.stdout.write(HELP);
    process.exit();
  } catch (error) {
    process.stderr.write(`outage: ${(error as Error).message}\n\n${HELP}`);
    process.exit(1);
  }
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-outage-'));
  const upstream = await FailingUpstream.start();
  try {
    const clients = (await clientsIn(values.clients)).filter(({ name }) => name.includes(values.only));
    const port = await freePort();
    const logFile = join(folder, 'gateway.log');
    const child = start({
      nodeArguments: [fileURLToPath(new URL('../../bin/tollgate.mjs', import.meta.url)), 'serve'],
      logFile,
      env: {
        PORT: String(port),
        OPENAI_API_KEY: 'sk-upstream',
        OPENAI_BASE_URL: upstream.url,
        TOLLGATE_ADMIN_KEY: ADMIN_KEY,
        TOLLGATE_DATA_DIR: join(folder, 'data'),
        TOLLGATE_LOG_LEVEL: 'warn',
      },
    });
    const url = `http://127.0.0.1:${port}`;
    await waitUntilReady(child, `${url}/readyz`, logFile);
    await judge(url, await runAll(url, upstream, clients));
  } finally {
    await stopAll();
    upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runAll(url: string, upstream: FailingUpstream, clients: Client[]): Promise<Row[]> {
  const rows: Row[] = [];
  const healthy = await makeTeam(url, 'healthy');
  for (const mode of [...FAILURES, 'good'] as Mode[]) {
    for (const client of clients) {
      // A success of another team shows that the upstream lives: each client meets its failures alone.
      upstream.mode = 'good';
      await askOnce(url, healthy.key);
      upstream.mode = mode;
      upstream.requests = 0;
      const { teamId, key } = await makeTeam(url, `${client.name}, ${mode}`);
      const ended = await client.ask(`${url}/v1`, key);
      const events = await admin<{ data: { cost_usd: string; hold_usd: string }[] }>(
        url,
        'GET',
        `/events?team_id=${teamId}`,
      );
      const charged = events.data.reduce((sum, event) => sum + usd(event.cost_usd), 0n);
      const holds = events.data.map((event) => usd(event.hold_usd));
      const row = { client: client.name, mode, sent: upstream.requests, charged, holds, ended };
      rows.push(row);
      console.log(
        `${mode.padEnd(5)} ${client.name.padEnd(26)} sent ${row.sent}, charged $${formatUsd(charged)}, ${ended}`,
      );
    }
  }
  return rows;
}

/** Prints what was charged, releases it, and fails where a promise was broken. */
async function judge(url: string, rows: Row[]): Promise<void> {
  const broken = rows.filter(({ mode, charged, holds }) => {
    const most = holds.reduce((largest, hold) => (hold > largest ? hold : largest), 0n);
    return mode !== 'good' && charged > HOLDS * most;
  });
  const unknown = rows.reduce((sum, { mode, charged }) => (mode === 'good' ? sum : sum + charged), 0n);
  const body = { filter: {}, reason: 'the outage run' };
  const released = await admin<{ released_calls: number; released_usd: string }>(
    url,
    'POST',
    '/unknown/release',
    body,
  );
  const left = await admin<{ data: unknown[] }>(url, 'GET', '/unknown');
  console.log(
    `\n${rows.length} prompts; charged in failures $${formatUsd(unknown)}; released by one command: ` +
      `${released.released_calls} calls, $${released.released_usd}; left unknown: ${left.data.length}`,
  );
  for (const { client, mode, charged } of broken) {
    console.log(`broken: ${client}, ${mode}: charged $${formatUsd(charged)}, more than two holds`);
  }
  if (broken.length > 0 || left.data.length > 0 || usd(released.released_usd) !== unknown)
    process.exitCode = 1;
}

async function askOnce(url: string, key: string): Promise<void> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-5-mini',
      max_completion_tokens: 100,
      messages: [{ role: 'user', content: 'x' }],
    }),
  });
  await response.text();
  if (!response.ok) throw new Error(`a call of another team ended with ${response.status}`);
}

async function makeTeam(url: string, name: string): Promise<{ teamId: string; key: string }> {
  const { id: teamId } = await admin<{ id: string }>(url, 'POST', '/teams', { name, plan: null });
  await admin(url, 'POST', '/grants', { team_id: teamId, amount_usd: '100.00' });
  const { key } = await admin<{ key: string }>(url, 'POST', '/keys', { team_id: teamId, name: 'outage' });
  return { teamId, key };
}

async function admin<Reply>(url: string, method: string, path: string, body?: object): Promise<Reply> {
  const response = await fetch(`${url}/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text) as Reply;
}

await main();
