/**
 * Two real servers serve one model under load; one is killed and comes back: each kind dies once, beside the next. No call is lost
 * or billed twice, no budget is passed, and the calls go on: by the ledger, by what the servers said, and by what the clients got.
 */
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readBalance } from '../e2e/books.ts';
import { costOf, disagreements, type House, openHouse, pairsOf } from './house.ts';
import type { ServerKind } from './kind.ts';
import { KINDS } from './kinds.ts';
import type { RunningServer } from './running.ts';

const installed = inject('servers');
const there = KINDS.filter(({ name }) => installed[name]?.missing === null);
/** The one that dies, and the one that stays. */
const pairs =
  there.length < 2
    ? []
    : there.map((dying, at) => ({ dying, staying: there[(at + 1) % there.length] as ServerKind }));
const CLIENTS = 6;
/** So many calls say that it serves: a server that is much slower than the other gets one every ten seconds. */
const SERVING = 5;
/** Guards against what hangs, of one wait and of all: on two busy cores PyTorch alone takes a minute to start. */
const WAIT_MS = 240_000;
const ALL_MS = 900_000;
/** A team's that has enough, and one's whose money ends meanwhile, in USD. */
const GRANTS = ['100.00', '0.02'] as const;

/** What became of a team's calls, as its clients saw it. */
interface Seen {
  teamId: string;
  grantUsd: string;
  whole: number;
  errors: string[];
}

describe.each(pairs)('$dying.name dies and comes back, beside $staying.name', ({ dying, staying }) => {
  let house: House;
  let isStopped = false;
  const clients: Promise<void>[] = [];
  beforeAll(async () => {
    house = await openHouse([dying, staying]);
  });
  afterEach(async () => {
    isStopped = true;
    await Promise.all(clients);
  });
  afterAll(() => house?.close());

  /** Clients of a team that call one after the other, streamed and not, until they are stopped or have no money. */
  async function startClients(grantUsd: string): Promise<Seen> {
    const { teamId, sdk } = await house.team(grantUsd);
    const seen: Seen = { teamId, grantUsd, whole: 0, errors: [] };
    const call = async (client: number, turn: number) => {
      const messages = [{ role: 'user' as const, content: `Client ${client}, turn ${turn}.` }];
      const body = { model: 'tiny', messages, max_tokens: 20 };
      if (turn % 2 === 0) await sdk.chat.completions.create(body);
      else for await (const _ of await sdk.chat.completions.create({ ...body, stream: true }));
    };
    const run = async (client: number) => {
      for (let turn = 0; !isStopped && !seen.errors.includes('insufficient_quota'); turn++) {
        try {
          await call(client, turn);
          seen.whole++;
        } catch (error) {
          seen.errors.push((error as { code?: string }).code ?? String(error));
        }
      }
    };
    clients.push(...Array.from({ length: CLIENTS }, (_, client) => run(client)));
    return seen;
  }

  /** How many calls found it dead and went to the other one, at no cost. */
  const moved = async () => {
    const { data } = await house.stack.admin<{ data: { moved_calls: number }[] }>('GET', '/upstreams');
    return data[0]?.moved_calls;
  };

  it('loses no call, and bills none twice', { timeout: ALL_MS }, async () => {
    await trusted(house);
    const [dead, alive] = house.servers as [RunningServer, RunningServer];
    const teams = await Promise.all(GRANTS.map(startClients));
    const [rich, poor] = teams as [Seen, Seen];
    const more = async (server: RunningServer, calls: number) => {
      const enough = server.recorder.records.length + calls;
      await expect.poll(() => server.recorder.records.length, { timeout: WAIT_MS }).toBeGreaterThan(enough);
    };
    await more(dead, SERVING);
    await dead.kill();
    await more(alive, 30);
    // Three that it broke off, and it is left alone; then one call now and then asks whether it is back.
    await expect.poll(moved, { timeout: WAIT_MS }).toBeGreaterThan(0);
    await dead.start();
    await more(dead, SERVING);
    await expect.poll(() => poor.errors, { timeout: WAIT_MS }).toContain('insufficient_quota');
    isStopped = true;
    await Promise.all(clients);

    const all = [await judge(house, rich), await judge(house, poor)];
    const voided = all.reduce((sum, { unreachable }) => sum + unreachable, 0);
    expect(voided).toBeGreaterThan(0);
    expect(rich.errors.length).toBeLessThanOrEqual(CLIENTS * GRANTS.length);
    console.log(`${dead.kind.name} dies:`, JSON.stringify(all));
  });
});

/** Calls until both servers are known to keep the limit of a chat: what a server does not list is probed after its first call. */
async function trusted({ stack, team }: House): Promise<void> {
  const { sdk } = await team('100.00');
  const verdicts = async () => {
    await sdk.chat.completions.create({
      model: 'tiny',
      messages: [{ role: 'user', content: 'Hi.' }],
      max_tokens: 2,
    });
    const { data } = await stack.admin<{ data: { limits: { state: string; reason: string }[] }[] }>(
      'GET',
      '/upstreams',
    );
    return data.map(({ limits: [chat] }) =>
      chat?.state === 'kept' ? 'kept' : `${chat?.state}: ${chat?.reason}`,
    );
  };
  await expect.poll(verdicts, { timeout: WAIT_MS, interval: 1_000 }).toEqual(['kept', 'kept']);
}

/** Compares a team's ledger with the servers and the clients; returns how many calls there were of each kind. */
async function judge(house: House, { teamId, grantUsd, whole, errors }: Seen) {
  const pairs = await pairsOf(house, teamId);
  // What was written on a connection that ended with its server reached nobody who writes it down; it could have: it is charged.
  const told = pairs.filter(
    ({ event, record }) => record !== undefined || event.reason !== 'upstream_interrupted',
  );
  expect(disagreements(told)).toEqual([]);
  const count = (kind: (pair: (typeof pairs)[number]) => boolean) => pairs.filter(kind).length;
  const reported = count(({ event }) => event.provenance === 'reported' && event.outcome === 'settled');
  const unknown = count(({ event }) => event.outcome === 'unknown');
  // Each whole answer reached one client, and is in the ledger once; each call that was cut is unknown, and a client knows.
  expect(reported).toBe(whole);
  const heard = errors.filter((code) => code !== 'insufficient_quota');
  expect(unknown, [...new Set(heard)].join(', ')).toBe(heard.length);

  const billed = pairs.reduce((sum, { usage }) => sum + (usage === null ? 0n : costOf(usage)), 0n);
  const charged = pairs.reduce((sum, { event }) => sum + usd(event.cost_usd), 0n);
  const balance = await readBalance(house.stack, teamId);
  expect(charged).toBeGreaterThanOrEqual(billed);
  expect(charged).toBeLessThanOrEqual(usd(grantUsd));
  expect(usd(balance.settled_usd)).toBe(charged);
  expect(usd(balance.held_usd)).toBe(0n);
  const unreachable = count(({ event }) => event.reason === 'upstream_unreachable');
  return { calls: pairs.length, reported, unknown, unreachable, charged: `${charged}`, billed: `${billed}` };
}
