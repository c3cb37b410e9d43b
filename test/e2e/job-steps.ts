/** Steps of tests of jobs: what Postgres has of one, what it was billed, and what is held. */
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI from 'openai';
import { usd } from '../../src/domain/money.ts';
import { until } from './crash-gateway.ts';
import type { Stack } from './stack.ts';

interface JobRow {
  state: string;
  held_usd: string;
  settled_usd: string | null;
}

const ASKS_MAX = 20;

/** A client that sends a request once, but again where the gateway says that the ledger was too slow and nothing was sent. */
export function clientOf(stack: Stack, key: string): OpenAI {
  return new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1`, maxRetries: 0, fetch: patiently });
}

/** Creating a job waits 2.5 seconds for Postgres, which is little on a machine that does much else. */
async function patiently(url: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> {
  for (let asked = 1; ; asked++) {
    const response = await fetch(url, init);
    if (response.status !== 503 || asked === ASKS_MAX) return response;
    const text = await response.clone().text();
    if (!text.includes('ledger_unavailable')) return response;
    await delay(250);
  }
}

/** Returns a job by its id upstream, once it has ended. */
export async function endOf(stack: Stack, upstreamId: string): Promise<JobRow> {
  let row: JobRow | undefined;
  await until(`the end of ${upstreamId}`, async () => {
    [row] = await stack.database.sql<JobRow[]>`
      select state, held_usd, settled_usd from jobs where upstream_id = ${upstreamId}`;
    return row !== undefined && row.settled_usd !== null;
  });
  return row!;
}

/** What the invoice bills for the call of a job, in pico-USD. @param since the lines that it had before */
export function billedFor(stack: Stack, operation: RegExp, since: number): bigint {
  return stack.simulator
    .invoice()
    .lines.filter((line) => line.line > since && operation.test(line.operation ?? ''))
    .reduce((sum, line) => sum + BigInt(line.cost_pico_usd), 0n);
}

export async function heldBy(
  stack: Stack,
  teamId: string,
): Promise<{ held: bigint; settled: bigint; leased: bigint }> {
  await stack.settled();
  const [row] = await stack.database.sql<{ held: string; settled: string; leased: string }[]>`
    select sum(held) as held, sum(settled) as settled, sum(leased) as leased from counters where team_id = ${teamId}`;
  return { held: usd(row!.held), settled: usd(row!.settled), leased: usd(row!.leased) };
}
