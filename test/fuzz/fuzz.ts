/**
 * The fuzzer of the API: requests of all kinds against a real gateway and the simulated OpenAI. Owns: sending them, and what
 * must hold whatever they are: no crash, no error of the gateway's own making, no long turn of its event loop, and nothing
 * held afterwards.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { GatewayProcess, until } from '../e2e/crash-gateway.ts';
import { type FuzzRequest, requestOf } from './requests.ts';

/** CPU that a turn may take beyond the longest of honest calls, whose size is that of the largest here. */
export const TURN_MS_MAX = 20;
const CONCURRENCY = 16;
const TIMEOUT_MS = 60_000;
const LARGE_BYTES = 1_000_000;
const HONEST_BYTES = [1000, 100_000, 1_000_000, 5_000_000, 19_000_000];

export interface FuzzOptions {
  dataDir: string;
  firstSeed: number;
  count: number;
  onProgress?: (sent: number) => void;
}

export interface FuzzReport {
  sent: number;
  /** How often each status came. */
  statuses: Record<number, number>;
  /** What must not be, with the seed of the request. */
  failures: string[];
  /** Longest turns, in milliseconds of CPU: of honest calls up to the largest size, and of all that was sent. */
  honestTurnMs: number;
  longestTurnMs: number;
  heldUsd: string;
}

interface Sent {
  status: number;
  text: string;
}

export async function fuzzApi(options: FuzzOptions): Promise<FuzzReport> {
  const simulator = await startSimulator();
  const turnsFile = join(options.dataDir, 'turns');
  const gateway = await GatewayProcess.serve({
    TOLLGATE_DATA_DIR: options.dataDir,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LOG_LEVEL: 'error',
    TOLLGATE_FREE_CALLS_PER_MINUTE: '1000000',
    NODE_OPTIONS: `--import=${fileURLToPath(new URL('./turns.mjs', import.meta.url))} --max-semi-space-size=16`,
    TURNS_FILE: turnsFile,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  try {
    const { teamId, key } = await gateway.team('fuzz', '1000000.00');
    const send = (wanted: FuzzRequest) => sendTo(gateway.url, agent, key, wanted);
    for (const bytes of [...HONEST_BYTES, ...HONEST_BYTES]) await send(honest(bytes));
    await longestTurn(gateway, turnsFile);
    for (const bytes of HONEST_BYTES) for (let call = 0; call < 3; call++) await send(honest(bytes));
    const honestTurnMs = await longestTurn(gateway, turnsFile);
    const report = { sent: 0, statuses: {}, failures: [] as string[] };
    await sendAll(gateway, send, options, report);
    const longestTurnMs = await longestTurn(gateway, turnsFile);
    const heldUsd = await heldAfterwards(gateway, teamId);
    if (heldUsd !== '0.00') report.failures.push(`$${heldUsd} are held afterwards`);
    gateway.signal('SIGTERM');
    const exitCode = await gateway.ended();
    if (exitCode !== 0)
      report.failures.push(`the gateway ended with ${exitCode}: ${gateway.output.slice(-2000)}`);
    const journals = readdirSync(join(options.dataDir, 'journal')).filter((name) => name.endsWith('.log'));
    if (journals.length > 0) report.failures.push(`journals are left: ${journals.join(', ')}`);
    return { ...report, honestTurnMs, longestTurnMs, heldUsd };
  } finally {
    agent.destroy();
    if (gateway.running) await gateway.kill();
    await simulator.close();
  }
}

type Report = Pick<FuzzReport, 'sent' | 'statuses' | 'failures'>;

async function sendAll(
  gateway: GatewayProcess,
  send: (wanted: FuzzRequest) => Promise<Sent>,
  { firstSeed, count, onProgress }: FuzzOptions,
  report: Report,
): Promise<void> {
  let next = firstSeed;
  // One large body at a time: what is measured is what one does, not how many wait.
  let large: Promise<unknown> = Promise.resolve();
  const persist = async (wanted: FuzzRequest): Promise<Sent> => {
    for (let tries = 1; ; tries++) {
      const sent = await send(wanted);
      report.statuses[sent.status] = (report.statuses[sent.status] ?? 0) + 1;
      // A machine that is busy with other work may keep Postgres waiting: the response says when to try again.
      if (tries === 3 || !sent.text.includes('"ledger_unavailable"')) return sent;
      await delay(1000);
    }
  };
  const worker = async () => {
    while (next < firstSeed + count && gateway.running && report.failures.length < 20) {
      const seed = next++;
      const wanted = requestOf(seed);
      const isLarge = (wanted.body?.length ?? 0) > LARGE_BYTES;
      const sent = isLarge ? large.then(() => persist(wanted)) : persist(wanted);
      if (isLarge) large = sent.catch(() => {});
      try {
        const { status, text } = await sent;
        if (status >= 500) report.failures.push(`seed ${seed}: ${status} ${text.slice(0, 300)}`);
      } catch (error) {
        report.failures.push(`seed ${seed}: ${wanted.method} ${wanted.path.slice(0, 100)}: ${error}`);
      }
      report.sent++;
      onProgress?.(report.sent);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  if (!gateway.running) report.failures.push(`the gateway ended: ${gateway.output.slice(-2000)}`);
}

/** A call that any application may make, with an image of so many bytes. */
function honest(bytes: number): FuzzRequest {
  const url = `data:image/png;base64,${'QUJD'.repeat(bytes / 4)}`;
  const content = [
    { type: 'text', text: 'What is this?' },
    { type: 'image_url', image_url: { url } },
  ];
  const body = { model: 'gpt-4o-mini', max_tokens: 10, messages: [{ role: 'user', content }] };
  return {
    method: 'POST',
    path: '/v1/chat/completions',
    headers: [['content-type', 'application/json']],
    body: Buffer.from(JSON.stringify(body)),
    chunked: false,
    authorization: 'key',
  };
}

function sendTo(origin: string, agent: Agent, key: string, wanted: FuzzRequest): Promise<Sent> {
  const { method, path, body, chunked, authorization } = wanted;
  const headers: string[] = ['host', new URL(origin).host, ...wanted.headers.flat()];
  if (authorization !== 'none')
    headers.push('authorization', `Bearer ${authorization === 'wrong' ? 'tg-wrong' : key}`);
  if (authorization === 'twice') headers.push('authorization', 'Bearer tg-other');
  if (body !== null)
    headers.push(...(chunked ? ['transfer-encoding', 'chunked'] : ['content-length', String(body.length)]));
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const outgoing = request({
      agent,
      hostname,
      port,
      method,
      path: encodeURI(path).replaceAll('%25', '%'),
      headers,
    });
    outgoing.setTimeout(TIMEOUT_MS, () => outgoing.destroy(new Error('no response in time')));
    outgoing.on('error', reject);
    outgoing.on('response', (incoming: IncomingMessage) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    outgoing.end(body ?? undefined);
  });
}

/** Returns the longest turn since the question before. */
async function longestTurn(gateway: GatewayProcess, file: string): Promise<number> {
  rmSync(file, { force: true });
  gateway.signal('SIGUSR2');
  let text = '';
  await until('the measured turns', () => {
    try {
      text = readFileSync(file, 'utf8');
    } catch {
      return false;
    }
    return text !== '';
  });
  return Number(text);
}

/** Returns what is held once no call is under way. */
async function heldAfterwards(gateway: GatewayProcess, teamId: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    await gateway.admin('GET', '/events?limit=1');
    const { held_usd: held } = await gateway.admin<{ held_usd: string }>('GET', `/teams/${teamId}/balance`);
    if (held === '0.00' || tries === 50) return held;
    await delay(100);
  }
}
