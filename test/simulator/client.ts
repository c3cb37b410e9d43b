/** What the simulator's tests share: a server for each file, both SDKs, and raw requests where bytes matter. */
import OpenAI from 'openai';
import OpenAI6 from 'openai6';
import { afterAll, beforeAll } from 'vitest';
import type { InvoiceLine } from '../../src/simulator/invoice.ts';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts';

export interface Bench {
  simulator: Simulator;
  sdk7: OpenAI;
  sdk6: OpenAI6;
  /** POSTs a JSON body to `/v1<path>`. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  lastLine(): InvoiceLine;
}

/** Starts a simulator before the tests of a file and stops it after them. */
export function useSimulator(options: SimulatorOptions = {}): Bench {
  const bench = {} as Bench;
  beforeAll(async () => {
    const simulator = await startSimulator(options);
    const settings = { apiKey: 'sk-test', baseURL: simulator.url, maxRetries: 0 };
    bench.simulator = simulator;
    bench.sdk7 = new OpenAI(settings);
    bench.sdk6 = new OpenAI6(settings);
    bench.post = (path, body, headers = {}) => post(simulator, path, body, headers);
    bench.lastLine = () => simulator.invoice().lines.at(-1)!;
  });
  afterAll(() => bench.simulator.close());
  return bench;
}

export function post(
  simulator: Simulator,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(simulator.url + path, {
    method: 'POST',
    headers: { authorization: 'Bearer sk-test', 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** The `x-simulator` header. */
export function order(directives: string): { headers: Record<string, string> } {
  return { headers: { 'x-simulator': directives } };
}

export const HELLO = { model: 'gpt-4o-mini', messages: [{ role: 'user' as const, content: 'hello' }] };

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}
