/** The gateway is killed in the middle of realtime sessions: what was held for it stays charged, what had ended is exact. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { silence, speech } from '../simulator/audio.ts';
import { openSocket } from '../simulator/socket.ts';
import { temporaryFolder } from '../support/folder.ts';
import { readBooks } from './crash-books.ts';
import { type Environment, GatewayProcess } from './crash-gateway.ts';

let simulator: Simulator;
let dataDir: string;
let env: Environment;
let gateway: GatewayProcess;

beforeAll(async () => {
  simulator = await startSimulator();
  dataDir = await temporaryFolder();
  env = {
    TOLLGATE_DATA_DIR: dataDir,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LOG_LEVEL: 'warn',
  };
  gateway = await GatewayProcess.serve(env);
});
afterAll(async () => {
  await gateway?.kill();
  await simulator?.close();
});

it('loses nothing of a session in whose middle it is killed', async () => {
  const { key } = await gateway.team('voice', '20.00');
  const socket = await openSocket(`${gateway.url}/v1/realtime?model=gpt-realtime`, {
    authorization: `Bearer ${key}`,
  });
  const transcription = { model: 'whisper-1' };
  socket.send({
    type: 'session.update',
    session: { type: 'realtime', audio: { input: { transcription } }, max_output_tokens: 50 },
  });
  await socket.next('session.updated');
  for (const audio of [speech(400), silence(600)]) socket.send({ type: 'input_audio_buffer.append', audio });
  await socket.next('response.done');
  // A transcription stands ready for the next turn, and a response is under way.
  socket.send({ type: 'input_audio_buffer.append', audio: speech(200) });
  const response = { metadata: { simulator: 'chunks=1000,chunk_ms=20' } };
  socket.send({ type: 'response.create', response });
  await socket.next('response.output_audio.delta');
  await gateway.kill();
  await socket.closed();
  gateway = await GatewayProcess.serve(env);
  await vi.waitFor(async () => expect((await readBooks({ dataDir })).events).toHaveLength(4), {
    timeout: 30_000,
    interval: 50,
  });
  const { events } = await readBooks({ dataDir });
  expect(events.map(({ outcome }) => outcome).toSorted()).toEqual([
    'settled',
    'settled',
    'unknown',
    'unknown',
  ]);
  expect(events.every(({ outcome, cost, hold }) => outcome === 'settled' || cost === hold)).toBe(true);
  const charged = events.reduce((sum, { cost }) => sum + cost, 0n);
  const { lines, total_pico_usd: invoice } = simulator.invoice();
  expect(charged).toBeGreaterThanOrEqual(BigInt(invoice));
  const settled = events.filter(({ outcome }) => outcome === 'settled');
  const ended = lines.filter(({ completed }) => completed).map((line) => BigInt(line.cost_pico_usd));
  expect(settled.map(({ cost }) => cost).toSorted()).toEqual(ended.toSorted());
});

it('charges the block of a translation in whose middle it is killed at its hold', async () => {
  const before = (await readBooks({ dataDir })).events.length;
  const billedBefore = BigInt(simulator.invoice().total_pico_usd);
  const { key } = await gateway.team('interpreters', '1.00');
  const socket = await openSocket(`${gateway.url}/v1/realtime/translations?model=gpt-realtime-translate`, {
    authorization: `Bearer ${key}`,
  });
  for (const ms of [59_000, 3_000])
    socket.send({ type: 'session.input_audio_buffer.append', audio: speech(ms) });
  await vi.waitFor(() => expect(socket.events.some(({ elapsed_ms: at }) => at === 62_000)).toBe(true), {
    timeout: 30_000,
    interval: 20,
  });
  const areIn = (events: number) =>
    vi.waitFor(async () => expect((await readBooks({ dataDir })).events).toHaveLength(before + events), {
      timeout: 30_000,
      interval: 50,
    });
  await areIn(1);
  await gateway.kill();
  await socket.closed();
  gateway = await GatewayProcess.serve(env);
  await areIn(2);
  const [minute, rest] = (await readBooks({ dataDir })).events
    .filter(({ hold }) => hold === usd('0.034'))
    .toSorted((a, b) => (a.outcome < b.outcome ? -1 : 1));
  expect([minute?.outcome, rest?.outcome]).toEqual(['settled', 'unknown']);
  expect([minute?.cost, rest?.cost]).toEqual([usd('0.034'), usd('0.034')]);
  // 62 seconds.
  expect(BigInt(simulator.invoice().total_pico_usd) - billedBefore).toBe((usd('0.034') * 62n + 59n) / 60n);
});
