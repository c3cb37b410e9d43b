/**
 * The fuzzer of the API: requests of all kinds against a real gateway and the simulated OpenAI. Owns: sending them, and what
 * must hold whatever they are: no crash, no error of the gateway's own making, no long turn of its event loop, and nothing
 * held afterwards.
 */
import { readdirSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { GatewayProcess } from '../e2e/crash-gateway.ts';
import { type FuzzRequest, requestOf } from './requests.ts';
import { Sender, type Sent } from './send.ts';
import { judgeTurns, Timeline, TURN_MS_MAX, Turns } from './turns.ts';

const CONCURRENCY = 16;
const LARGE_BYTES = 1_000_000;
const HONEST_BYTES = [1000, 100_000, 1_000_000, 5_000_000, 19_000_000];
/** A ledger that cannot admit calls is asked again for so long, as its response says: Postgres may lack a processor, too. */
const PATIENCE_MS = 60_000;

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
  /** Turns above what is allowed that no request takes alone, of a gateway that lacked no processor (turns.ts). */
  unexplainedTurns: string[];
  /** Turns above what is allowed, of a gateway that lacked a processor (turns.ts). */
  excusedTurns: number;
  /** Requests that were sent again because their connection had been idle for longer than the gateway keeps one. */
  staleConnections: number;
  /** Responses that the ledger is not available just now; each was repeated until there was another. */
  unavailable: number;
  heldUsd: string;
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
    NODE_OPTIONS: `--import=${fileURLToPath(new URL('./turns.mjs', import.meta.url))}`,
    TURNS_FILE: turnsFile,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  try {
    const { teamId, key } = await gateway.team('fuzz', '1000000.00');
    const sender = new Sender(gateway.url, agent, key);
    const turns = new Turns(gateway, turnsFile);
    for (const bytes of [...HONEST_BYTES, ...HONEST_BYTES]) await sender.send(honest(bytes));
    await turns.read();
    const honestTurn = async () => {
      for (const bytes of HONEST_BYTES) for (let call = 0; call < 3; call++) await sender.send(honest(bytes));
      return turns.longestMs();
    };
    const before = await honestTurn();
    const report: Report = { sent: 0, statuses: {}, failures: [], unavailable: 0 };
    const timeline = new Timeline();
    await sendAll(gateway, sender, options, report, timeline);
    const all = await turns.read();
    // The machine may be slower by now.
    const honestTurnMs = Math.max(before, await honestTurn());
    const again = (seed: number) => sender.send(requestOf(seed));
    const { failures, unexplained, excused } = await judgeTurns(all, honestTurnMs + TURN_MS_MAX, {
      turns,
      timeline,
      again,
    });
    report.failures.push(...failures);
    const heldUsd = await heldAfterwards(gateway, teamId);
    if (heldUsd !== '0.00') report.failures.push(`$${heldUsd} are held afterwards`);
    gateway.signal('SIGTERM');
    const exitCode = await gateway.ended();
    if (exitCode !== 0)
      report.failures.push(`the gateway ended with ${exitCode}: ${gateway.output.slice(-2000)}`);
    const journals = readdirSync(join(options.dataDir, 'journal')).filter((name) => name.endsWith('.log'));
    if (journals.length > 0) report.failures.push(`journals are left: ${journals.join(', ')}`);
    const longestTurnMs = all[0]?.cpuMs ?? 0;
    return {
      ...report,
      honestTurnMs,
      longestTurnMs,
      unexplainedTurns: unexplained,
      excusedTurns: excused,
      staleConnections: sender.stale,
      heldUsd,
    };
  } finally {
    agent.destroy();
    if (gateway.running) await gateway.kill();
    await simulator.close();
  }
}

type Report = Pick<FuzzReport, 'sent' | 'statuses' | 'failures' | 'unavailable'>;

async function sendAll(
  gateway: GatewayProcess,
  sender: Sender,
  { firstSeed, count, onProgress }: FuzzOptions,
  report: Report,
  timeline: Timeline,
): Promise<void> {
  let next = firstSeed;
  // One large body at a time: what is measured is what one does, not how many wait.
  let large: Promise<unknown> = Promise.resolve();
  const persist = async (seed: number, wanted: FuzzRequest): Promise<Sent> => {
    const deadlineMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const beganMs = Date.now();
      const sent = await sender.send(wanted);
      timeline.add(seed, beganMs, Date.now());
      const isUnavailable = sent.text.includes('"ledger_unavailable"');
      if (!isUnavailable || performance.now() > deadlineMs) {
        report.statuses[sent.status] = (report.statuses[sent.status] ?? 0) + 1;
        return sent;
      }
      report.unavailable++;
      await delay(1000);
    }
  };
  const worker = async () => {
    while (next < firstSeed + count && gateway.running && report.failures.length < 20) {
      const seed = next++;
      const wanted = requestOf(seed);
      const isLarge = (wanted.body?.length ?? 0) > LARGE_BYTES;
      const sent = isLarge ? large.then(() => persist(seed, wanted)) : persist(seed, wanted);
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

/** Returns what is held once no call is under way. */
async function heldAfterwards(gateway: GatewayProcess, teamId: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    await gateway.admin('GET', '/events?limit=1');
    const { held_usd: held } = await gateway.admin<{ held_usd: string }>('GET', `/teams/${teamId}/balance`);
    if (held === '0.00' || tries === 50) return held;
    await delay(100);
  }
}
