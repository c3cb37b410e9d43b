/** A page of a key's own answers before it has read a body that it does not want: the connection stays as it says. */
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  agent.destroy();
  await stack.stop();
});

/** Returns the status, what is said of the connection, and whether it was used before. */
function ask(method: string, path: string, key: string, body: string) {
  return new Promise<{ status: number | undefined; isKept: boolean; isReused: boolean }>(
    (resolve, reject) => {
      const headers = { authorization: `Bearer ${key}`, 'content-length': body.length };
      const outgoing = request(`${stack.app.url}${path}`, { agent, method, headers }, (incoming) => {
        incoming.resume();
        incoming.on('end', () => {
          const isKept = incoming.headers.connection === 'keep-alive';
          resolve({ status: incoming.statusCode, isKept, isReused: outgoing.reusedSocket });
        });
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    },
  );
}

it.each([60_000, 632_298, 5_000_000])('a body of %d bytes', async (bytes) => {
  const { key } = await stack.team();
  const early = await ask('POST', '/v1/tollgate/balance', key, 'x'.repeat(bytes));
  expect(early.status).toBeGreaterThanOrEqual(400);
  expect(early.isKept).toBe(true);
  // Longer than what a framework waits for the rest of a body that it holds up.
  await delay(1000);
  expect(await ask('GET', '/v1/tollgate/balance', key, '')).toMatchObject({ status: 200, isReused: true });
});
