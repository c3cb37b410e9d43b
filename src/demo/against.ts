/**
 * Sample traffic at a gateway that runs elsewhere (`--against`): the cast's teams are made there and spend until a signal.
 * Invariant: only a gateway whose upstream is simulated should see this; with a real one it costs real money.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createAdminClient } from './admin-client.ts';
import { makePlayers, revokeKeys } from './teams.ts';
import { startTraffic } from './traffic.ts';

export interface AgainstOptions {
  /** The gateway's, without `/v1`. */
  url: string;
  adminKey: string;
  callsPerSecond: number;
  signal: AbortSignal;
}

const REPORT_EVERY_MS = 60_000;

/** Rejects when the gateway cannot be reached or refuses the admin key. */
export async function spendAgainst({ url, adminKey, callsPerSecond, signal }: AgainstOptions): Promise<void> {
  const admin = createAdminClient(url, adminKey);
  const players = await makePlayers(admin);
  process.stdout.write(`${players.length} teams spend at ${url}\n`);
  const traffic = startTraffic({ baseUrl: `${url}/v1`, players, callsPerSecond });
  while (!signal.aborted) {
    await delay(REPORT_EVERY_MS, null, { signal }).catch(() => {});
    const { failures } = traffic;
    if (failures.length > 0) process.stdout.write(`calls failed, the last one: ${failures.at(-1)}\n`);
  }
  await traffic.stop();
  await revokeKeys(admin, players);
}
