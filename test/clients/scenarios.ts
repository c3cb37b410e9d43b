/**
 * What each client is put through, and what must hold after it: the simulated OpenAI is the upstream, its invoice the
 * judge. A client's file says how it does each thing, with its own defaults; here is what it must come to.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { type App, startApp } from '../../src/main/start.ts';
import type { Profile } from '../../src/simulator/profile.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { disagreements, readEvents } from '../e2e/books.ts';
import { ADMIN_KEY, type Stack, startStack } from '../e2e/stack.ts';
import { type Balancer, startBalancer } from './balancer.ts';

/** Where a client is pointed to. */
export interface Place {
  /** With `/v1`. */
  baseUrl: string;
  key: string;
  /** Resolves when the upstream has a call under way. */
  underWay(): Promise<void>;
}

/** The prompts; a tool that one names is called by the simulated model. */
export const PROMPTS = {
  first: 'Say hello.',
  tools: 'get_weather {"city":"Paris"} and get_time {"zone":"CET"}, then get_weather {"city":"Rome"}',
  turns: [
    'My name is Ada.',
    'I like maps.',
    'And old ones most.',
    'Which is the oldest?',
    'What is my name?',
  ],
  vision: 'What is on this picture?',
  structured: 'Plan a trip.',
  stream: 'Tell me a long story.',
} as const;

/** The calls that {@link PROMPTS}.tools comes to, as `name(first argument)`, in any order of those made at once. */
const TOOL_CALLS = ['get_time(CET)', 'get_weather(Paris)', 'get_weather(Rome)'];
/** What tools give back. */
export const WEATHER = 'Sunny, 21 degrees.';

/** A red pixel. */
export const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';

/** How a client does each thing. What it returns is judged; what it throws ends the scenario, but for the last two. */
export interface Client {
  /** Returns the text. */
  first(place: Place): Promise<string>;
  /** Runs tools until there is a text; returns its calls as `name(first argument)`. */
  tools(place: Place): Promise<string[]>;
  /** Returns the texts of a conversation. */
  turns(place: Place): Promise<string[]>;
  vision(place: Place): Promise<string>;
  /** Returns the value: a city (a string), days (a whole number), tags (strings). */
  structured(place: Place): Promise<unknown>;
  /** Returns the pieces as they come. */
  stream(place: Place): Promise<string[]>;
  /** Leaves a stream after its first piece; returns then. */
  cancel(place: Place): Promise<void>;
  /** Requests of one call that is denied, with its own retries. */
  deniedRequests: number;
  /** What a denial looks like to the application. */
  denied: RegExp;
  /** What an answer that a limit cut short looks like: its text, the error's, or how it says so. */
  shortened: RegExp;
  /** Of each team, in decimal USD; default: 200. */
  grantUsd?: string;
  /** What is left where money is short; default: 0.05. */
  shortUsd?: string;
  /** Makes a plain call and returns how it ended, as it would be shown to a person. Default: {@link first}. */
  ended?(place: Place): Promise<string>;
}

const SLOW: Partial<Profile> = { medianOutputTokens: 400, p99OutputTokens: 400, chunkMs: 20 };
const LONG: Partial<Profile> = { medianOutputTokens: 120_000, p99OutputTokens: 120_000 };
const USUAL: Partial<Profile> = { medianOutputTokens: 60, p99OutputTokens: 400, chunkMs: 0 };

interface House {
  stack: Stack;
  second: App;
  one: Balancer;
  two: Balancer;
  close(): Promise<void>;
}

/** The simulator, and two instances on one database. */
async function openHouse(): Promise<House> {
  const stack = await startStack({
    simulator: { profile: { reasoningContext: 'current_turn', plainText: true } },
  });
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-clients-'));
  const config = readConfig({
    PORT: '0',
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: stack.simulator.url,
    TOLLGATE_DATA_DIR: folder,
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  const second = await startApp({ config, log, version: 'test', connection: stack.database.connection });
  const one = await startBalancer([stack.app.url]);
  const two = await startBalancer([stack.app.url, second.url]);
  return {
    stack,
    second,
    one,
    two,
    async close() {
      one.close();
      two.close();
      await second.stop();
      await stack.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface Run {
  /** How many instances stand behind the address; default: one, then two. */
  instances?: readonly (1 | 2)[];
  /** Why these clients cannot run here; missing: they can. */
  skipped?: string | null;
  /** Ends what the clients need. */
  close?: () => Promise<void>;
}

/** Puts clients through all scenarios. */
export function testClients(clients: Record<string, () => Client>, run: Run = {}): void {
  let house: House;
  beforeAll(async () => {
    house = await openHouse();
  });
  afterAll(async () => {
    await run.close?.();
    await house?.close();
  });

  for (const [name, client] of Object.entries(clients)) {
    for (const instances of run.instances ?? [1, 2]) {
      describe.skipIf(run.skipped)(`${name}, ${instances === 1 ? 'one instance' : 'two instances'}`, () => {
        testClient(() => house, instances === 1 ? 'one' : 'two', client);
      });
    }
  }
}

function testClient(house: () => House, front: 'one' | 'two', make: () => Client): void {
  const placeOf = async (
    team: { grantUsd?: string } = { grantUsd: make().grantUsd ?? '200.00' },
  ): Promise<Place & { teamId: string }> => {
    const { stack, [front]: at } = house();
    const { key, teamId } = await stack.team(team);
    const isUnderWay = async () => (await fetch(new URL('/in-flight', stack.simulator.url))).text();
    const underWay = () => expect.poll(isUnderWay, { timeout: 20_000, interval: 5 }).not.toBe('{}');
    return { baseUrl: `${at.url}/v1`, key, teamId, underWay };
  };
  afterEach(() => house().stack.simulator.setProfile(USUAL));
  const text = (value: string) => expect(value).toMatch(/\S/);

  it('first turn', async () => {
    text(await make().first(await placeOf()));
    await checkBooks(house());
  });

  it('tool loop', async () => {
    expect((await make().tools(await placeOf())).toSorted()).toEqual(TOOL_CALLS);
    await checkBooks(house());
  });

  it('five turns', async () => {
    const texts = await make().turns(await placeOf());
    expect(texts).toHaveLength(PROMPTS.turns.length);
    texts.forEach(text);
    await checkBooks(house());
  });

  it('vision', async () => {
    text(await make().vision(await placeOf()));
    await checkBooks(house());
  });

  it('structured output', async () => {
    const value = await make().structured(await placeOf());
    expect(value).toEqual({ city: expect.any(String), days: expect.any(Number), tags: expect.any(Array) });
    await checkBooks(house());
  });

  it('stream', async () => {
    const pieces = await make().stream(await placeOf());
    expect(pieces.length).toBeGreaterThan(1);
    text(pieces.join(''));
    await checkBooks(house());
  });

  it('cancel', async () => {
    house().stack.simulator.setProfile(SLOW);
    await make().cancel(await placeOf());
    await checkBooks(house());
  });

  it('denial', async () => {
    const { stack } = house();
    const before = { sent: house()[front].requests(), billed: stack.simulator.invoice().line_count };
    const client = make();
    expect(await ending(client, await placeOf({}))).toMatch(client.denied);
    expect(house()[front].requests() - before.sent).toBe(client.deniedRequests);
    expect(stack.simulator.invoice().line_count).toBe(before.billed);
  });

  it('shortage', async () => {
    house().stack.simulator.setProfile(LONG);
    const client = make();
    const place = await placeOf({ grantUsd: client.shortUsd ?? '0.05' });
    expect(await ending(client, place)).toMatch(client.shortened);
    await checkBooks(house());
    const costs = (await readEvents(house().stack, place.teamId)).map(({ cost_usd }) => Number(cost_usd));
    // A good part of what there was. Codex makes a session ready first, for next to nothing.
    expect(Math.max(...costs)).toBeGreaterThan(0.01);
  });
}

/** How a plain call ends: with a text, or with an error as a person would see it. */
async function ending(client: Client, place: Place): Promise<string> {
  try {
    return await (client.ended ?? client.first)(place);
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

/** Every call cost what was billed, and no more than it held. */
async function checkBooks({ stack, second }: House): Promise<void> {
  await idle(second.url);
  await stack.idle();
  const admin = { headers: { authorization: `Bearer ${ADMIN_KEY}` } };
  await Promise.all([stack.settled(), fetch(`${second.url}/admin/v1/events?limit=1`, admin)]);
  const { lines } = stack.simulator.invoice();
  const paid = lines.filter(({ cost_pico_usd: cost }) => cost !== '0');
  expect(disagreements(await readEvents(stack), paid)).toEqual([]);
}

async function idle(url: string): Promise<void> {
  const isIdle = async () =>
    /^tollgate_in_flight_calls 0$/m.test(await (await fetch(`${url}/metrics`)).text());
  await expect.poll(isIdle, { timeout: 20_000 }).toBe(true);
}
