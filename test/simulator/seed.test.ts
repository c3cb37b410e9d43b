import { afterAll, beforeAll, expect, it } from 'vitest';
import type { InvoiceLine } from '../../src/simulator/invoice.ts';
import { FAULT_PRESETS, type Profile } from '../../src/simulator/profile.ts';
import { lognormal, seededRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { HELLO, post } from './client.ts';

const IDS = Array.from({ length: 60 }, (_, index) => `event-${index}`);
const { hang: _, ...FAULTS } = FAULT_PRESETS.chaos;
const CHAOS: Partial<Profile> = { faults: FAULTS, slowFirstByteMs: 1, slowChunkMs: 1 };
const open: Simulator[] = [];
let first: InvoiceLine[] = [];

/** One request for each id, `width` at a time; the lines in the order of the ids. */
async function play(
  seed: number,
  profile: Partial<Profile>,
  ids: string[],
  width: number,
): Promise<InvoiceLine[]> {
  const simulator = await startSimulator({ seed, profile });
  open.push(simulator);
  const queue = [...ids];
  const worker = async (): Promise<void> => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      const body = { ...HELLO, model: 'gpt-6-sol', service_tier: 'priority' };
      const answer = await post(simulator, '/chat/completions', body, { 'x-client-request-id': id }).catch(
        () => null,
      );
      await answer?.text().catch(() => '');
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  const { lines } = simulator.invoice();
  return lines.sort((a, b) => IDS.indexOf(a.client_request_id!) - IDS.indexOf(b.client_request_id!));
}

const fate = ({ usage, cost_pico_usd, fault, status, service_tier, client_request_id }: InvoiceLine) => ({
  usage,
  cost_pico_usd,
  fault,
  status,
  service_tier,
  client_request_id,
});

beforeAll(async () => {
  first = await play(7, CHAOS, IDS, 1);
});
afterAll(() => Promise.all(open.map((simulator) => simulator.close())));

it('gives a request the same fate in every run of a seed, in whatever order requests arrive', async () => {
  const second = await play(7, CHAOS, [...IDS].reverse(), 8);
  expect(second.map(fate)).toEqual(first.map(fate));
  expect(new Set(first.map(({ fault }) => fault)).size).toBeGreaterThan(4);
});

it('gives another seed other fates', async () => {
  expect((await play(8, CHAOS, IDS, 4)).map(fate)).not.toEqual(first.map(fate));
});

it('leaves every usage as it was when faults are switched off', async () => {
  const calm = await play(7, {}, IDS, 4);
  for (const [index, line] of first.entries()) {
    if (line.usage.input_tokens > 0) expect(line.usage).toEqual(calm[index]?.usage);
  }
});

it('plans the same usage for a request that orders a fault', async () => {
  const simulator = await startSimulator({ seed: 7 });
  open.push(simulator);
  const id = { 'x-client-request-id': IDS[0]! };
  await post(simulator, '/chat/completions', HELLO, id);
  await post(simulator, '/chat/completions', HELLO, { ...id, 'x-simulator': 'fault=no_usage' });
  const [plain, faulty] = simulator.invoice().lines;
  expect(faulty?.usage).toEqual(plain?.usage);
});

it('makes a request id that is never used twice, even for one client id', async () => {
  const simulator = await startSimulator();
  open.push(simulator);
  const send = () => post(simulator, '/chat/completions', HELLO, { 'x-client-request-id': 'again' });
  const [a, b] = [await send(), await send()];
  expect(a.headers.get('x-request-id')).not.toBe(b.headers.get('x-request-id'));
  const bodies = [await a.json(), await b.json()] as { usage: object }[];
  expect(bodies[0]?.usage).toEqual(bodies[1]?.usage);
});

it('serves most priority requests as priority, and some as default', () => {
  const tiers = first.map(({ service_tier }) => service_tier);
  expect(tiers).toContain('priority');
  expect(tiers).toContain('default');
});

it('draws lengths with the median and the 99th percentile that were asked for', () => {
  const random = seededRandom(1, 'lengths');
  const lengths = Array.from({ length: 20_000 }, () => lognormal(random, 60, 400)).sort((a, b) => a - b);
  expect(lengths[10_000]).toBeGreaterThan(57);
  expect(lengths[10_000]).toBeLessThan(63);
  expect(lengths[19_800]).toBeGreaterThan(350);
  expect(lengths[19_800]).toBeLessThan(450);
});
