/**
 * The clients that speak WebSockets, over `wss:`, with the gateway in a process of its own, which is killed in the middle of their
 * sessions: what was billed is in the ledger, what was under way stays charged at its hold, and they go on when it is back.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type OpenAI from 'openai';
import type { OpenAIRealtimeWS } from 'openai/realtime/ws';
import type { ResponsesWS } from 'openai/resources/responses/ws';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { readBooks } from '../e2e/crash-books.ts';
import { type Environment, GatewayProcess } from '../e2e/crash-gateway.ts';
import { silence, speech } from '../simulator/audio.ts';
import { makeSignedCertificate } from '../support/certificate.ts';
import { temporaryFolder } from '../support/folder.ts';
import { runCodex, textOf } from './codex.ts';
import { installed } from './installed.ts';
import { PythonProcess } from './python.ts';
import { PROMPTS } from './scenarios.ts';

interface Place {
  baseUrl: string;
  key: string;
}

/** What is said in one session: a prompt a turn, with what the simulator is to make of it, and then speech. */
interface Talk {
  prompts: string[];
  orders: string[];
  audio: string[];
}

/** Returns the texts of its turns, and of the answer to what was spoken. */
type Client = (place: Place, talk: Talk) => Promise<string[]>;

const PATIENCE = { timeout: 60_000, interval: 20 };

interface Sdk {
  openai: { default: typeof OpenAI };
  responses: { ResponsesWS: typeof ResponsesWS };
  realtime: { OpenAIRealtimeWS: typeof OpenAIRealtimeWS };
}
const { openai, responses, realtime } = await installed<Sdk>();
const { python, pythonMissing } = inject('clients');

/** Rejects with the first error of a socket, or when it closes. */
function broken(socket: { on(event: 'close', listener: (code: number) => void): unknown }): Promise<never> {
  return new Promise((_, reject) => {
    socket.on('close', (code) => reject(new Error(`closed with ${code}`)));
  });
}

const nodeResponses: Client = async ({ baseUrl, key }, { prompts, orders }) => {
  const ws = new responses.ResponsesWS(new openai.default({ apiKey: key, baseURL: baseUrl }));
  const failed = new Promise<never>((_, reject) => ws.on('error', reject));
  const ended = new Promise<never>((_, reject) =>
    ws.on('close', (code) => reject(new Error(`closed with ${code}`))),
  );
  failed.catch(() => {});
  ended.catch(() => {});
  const texts: string[] = [];
  let previous_response_id: string | null = null;
  for (const [turn, input] of prompts.entries()) {
    const completed = new Promise<{ id: string; text: string }>((resolve) => {
      ws.once('response.completed', ({ response }) =>
        resolve({ id: response.id, text: JSON.stringify(response.output) }),
      );
    });
    const metadata = orders[turn] ? { simulator: orders[turn] } : null;
    ws.send({
      type: 'response.create',
      model: 'gpt-5.6-terra',
      input,
      store: false,
      previous_response_id,
      metadata,
    });
    const { id, text } = await Promise.race([completed, failed, ended]);
    previous_response_id = id;
    texts.push(text);
  }
  expect(ws.url.protocol).toBe('wss:');
  ws.close();
  return texts;
};

const nodeRealtime: Client = async ({ baseUrl, key }, { prompts, orders, audio }) => {
  const client = new openai.default({ apiKey: key, baseURL: baseUrl });
  const line = new realtime.OpenAIRealtimeWS({ model: 'gpt-realtime' }, client);
  const failed = new Promise<never>((_, reject) => line.on('error', reject));
  const ended = broken(line.socket);
  failed.catch(() => {});
  ended.catch(() => {});
  await Promise.race([once(line.socket, 'open'), failed, ended]);
  expect(line.url.protocol).toBe('wss:');
  const done = () =>
    new Promise<string>((resolve) => {
      const take = (event: { response: { output?: unknown[] } }) => {
        line.off('response.done', take);
        resolve(JSON.stringify(event.response.output));
      };
      line.on('response.done', take);
    });
  const texts: string[] = [];
  for (const [turn, text] of prompts.entries()) {
    const answered = done();
    const content = [{ type: 'input_text' as const, text }];
    line.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
    const metadata = orders[turn] ? { metadata: { simulator: orders[turn] } } : {};
    line.send({ type: 'response.create', response: { output_modalities: ['text'], ...metadata } });
    texts.push(await Promise.race([answered, failed, ended]));
  }
  if (audio.length > 0) {
    const answered = done();
    for (const piece of audio) line.send({ type: 'input_audio_buffer.append', audio: piece });
    texts.push(await Promise.race([answered, failed, ended]));
  }
  line.close();
  return texts;
};

let simulator: Simulator;
let gateway: GatewayProcess;
let env: Environment;
let authority: string;
let running: PythonProcess | null = null;
const trustedBefore = getCACertificates('default');

beforeAll(async () => {
  const folder = await temporaryFolder();
  const [cert, privateKey] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  authority = join(folder, 'authority.crt');
  makeSignedCertificate(authority, cert, privateKey);
  setDefaultCACertificates([...trustedBefore, readFileSync(authority, 'utf8')]);
  simulator = await startSimulator({ profile: { reasoningContext: 'current_turn', plainText: true } });
  env = {
    HOST: 'localhost',
    TOLLGATE_TLS_CERT: cert,
    TOLLGATE_TLS_KEY: privateKey,
    TOLLGATE_DATA_DIR: join(folder, 'data'),
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LOG_LEVEL: 'warn',
  };
  gateway = await GatewayProcess.serve(env);
  // Clients find it again where it was.
  env = { ...env, PORT: new URL(gateway.url).port };
});
afterAll(async () => {
  running?.end();
  await gateway?.kill();
  await simulator?.close();
  setDefaultCACertificates(trustedBefore);
});

const pythonClient =
  (name: string): Client =>
  async (place, talk) => {
    if (python === null) throw new Error(pythonMissing ?? '');
    running ??= new PythonProcess(python, 'openai_lines', { SSL_CERT_FILE: authority });
    return (await running.call(name, 'talk', place, talk)) as string[];
  };

const codex = (place: Place, parameters: string[]) =>
  runCodex(place, parameters, { config: NO_SEARCH, env: { SSL_CERT_FILE: authority } });
const NO_SEARCH = 'web_search = "disabled"\n';

let teams = 0;
/** A team, and its books: they begin with nothing, as the invoice does for it. */
async function newTeam(grantUsd: string) {
  const { teamId, key } = await gateway.team(`lines-${++teams}`, grantUsd);
  const before = simulator.invoice().lines.length;
  const lines = () =>
    simulator
      .invoice()
      .lines.slice(before)
      .filter(({ cost_pico_usd: cost }) => cost !== '0');
  const events = async () => {
    const { events: all } = await readBooks({ dataDir: env.TOLLGATE_DATA_DIR ?? '' });
    return all.filter((event) => event.teamId === teamId && event.outcome !== 'voided');
  };
  return { place: { baseUrl: `${gateway.url}/v1`, key }, lines, events };
}
type Team = Awaited<ReturnType<typeof newTeam>>;

/** Waits for the end of all calls. @param cut lines whose response was under way when the gateway was killed */
async function checkBooks({ lines, events }: Team, cut = 0): Promise<void> {
  const costsOf = (costs: bigint[]) => costs.toSorted((a, b) => (a < b ? -1 : 1)).map(String);
  const ended = lines().filter(({ completed }) => completed);
  expect(lines()).toHaveLength(ended.length + cut);
  const settled = async () => (await events()).filter(({ outcome }) => outcome === 'settled');
  await expect
    .poll(async () => costsOf((await settled()).map(({ cost }) => cost)), PATIENCE)
    .toEqual(costsOf(ended.map((line) => BigInt(line.cost_pico_usd))));
  const unknown = (await events()).filter(({ outcome }) => outcome === 'unknown');
  const held = unknown.reduce((sum, { cost }) => sum + cost, 0n);
  const lost = lines().filter(({ completed }) => !completed);
  expect(unknown).toHaveLength(cut);
  expect(held).toBeGreaterThanOrEqual(lost.reduce((sum, line) => sum + BigInt(line.cost_pico_usd), 0n));
  for (const { cost, hold, outcome } of await events()) {
    expect(cost).toBeLessThanOrEqual(hold);
    if (outcome === 'unknown') expect(cost).toBe(hold);
  }
}

/** Kills the gateway once so many lines have been billed to the team. */
async function killAt({ lines }: Team, count: number): Promise<void> {
  await expect.poll(() => lines().length, PATIENCE).toBe(count);
  await gateway.kill();
}

const SPEECH = [speech(500), silence(600)];
const SLOW_TEXT = 'output=400,chunk_ms=20';
const SLOW_REALTIME = 'chunks=2000,chunk_ms=20';

const CLIENTS: Record<string, { client: Client; slow: string; audio: string[]; skip: boolean }> = {
  'openai (Node) ResponsesWS': { client: nodeResponses, slow: SLOW_TEXT, audio: [], skip: false },
  'openai (Node) OpenAIRealtimeWS': { client: nodeRealtime, slow: SLOW_REALTIME, audio: SPEECH, skip: false },
  'openai (Python) responses.connect()': {
    client: pythonClient('responses'),
    slow: SLOW_TEXT,
    audio: [],
    skip: python === null,
  },
  'openai (Python) realtime.connect()': {
    client: pythonClient('realtime'),
    slow: SLOW_REALTIME,
    audio: SPEECH,
    skip: python === null,
  },
};

for (const [name, { client, slow, audio, skip }] of Object.entries(CLIENTS)) {
  describe.skipIf(skip)(`${name} over wss:`, () => {
    it('turns', async () => {
      const team = await newTeam('20.00');
      const prompts = PROMPTS.turns.slice(0, 3);
      const texts = await client(team.place, { prompts, orders: ['', '', ''], audio });
      expect(texts).toHaveLength(prompts.length + (audio.length > 0 ? 1 : 0));
      for (const text of texts) expect(text).toMatch(/\S/);
      expect(team.lines()).toHaveLength(texts.length);
      await checkBooks(team);
    });

    it('denial', async () => {
      const team = await newTeam('0.000001');
      await expect(client(team.place, { prompts: ['Hello.'], orders: [''], audio: [] })).rejects.toThrow(
        /insufficient_quota|hold_too_large|grant/,
      );
      expect(team.lines()).toEqual([]);
    });

    it('kill -9', async () => {
      const team = await newTeam('20.00');
      const talk = client(team.place, {
        prompts: ['Hello.', 'Tell me a long story.'],
        orders: ['', slow],
        audio: [],
      });
      const ended = talk.then(
        () => 'as if nothing had happened',
        () => 'with an error',
      );
      await killAt(team, 2);
      expect(await ended).toBe('with an error');
      gateway = await GatewayProcess.serve(env);
      await checkBooks(team, 1);
      expect(await client(team.place, { prompts: ['Hello.'], orders: [''], audio: [] })).toHaveLength(1);
      await checkBooks(team, 1);
    });
  });
}

describe('Codex 0.171.0 over wss:', () => {
  it('turns', async () => {
    const team = await newTeam('200.00');
    for (const [turn, prompt] of PROMPTS.turns.slice(0, 2).entries())
      expect(textOf(await codex(team.place, turn === 0 ? [prompt] : ['resume', '--last', prompt]))).toMatch(
        /\S/,
      );
    await checkBooks(team);
    const { data } = await gateway.admin<{ data: { operation: string }[] }>('GET', '/events?limit=1000');
    expect(data.at(-1)?.operation).toBe('responses.connect');
  });

  it('kill -9', async () => {
    const team = await newTeam('200.00');
    simulator.setProfile({ medianOutputTokens: 400, p99OutputTokens: 400, chunkMs: 20 });
    const turn = codex(team.place, [PROMPTS.stream]);
    await killAt(team, 2);
    simulator.setProfile({ medianOutputTokens: 60, p99OutputTokens: 400, chunkMs: 0 });
    gateway = await GatewayProcess.serve(env);
    // It sends its turn again, as a new call.
    expect(textOf(await turn)).toMatch(/\S/);
    await checkBooks(team, 1);
  });
});
