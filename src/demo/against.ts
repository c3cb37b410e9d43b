/**
 * Sample traffic for a gateway that runs elsewhere (`--against`): creates the demo's teams there, which spend until a
 * signal. Its upstream should be simulated: a real one charges real money.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createAdminClient } from './admin-client.ts';
import { createTeams, revokeKeys } from './teams.ts';
import { startTraffic } from './traffic.ts';

export interface AgainstOptions {
  /** The gateway's URL, without `/v1`. */
  url: string;
  adminKey: string;
  callsPerSecond: number;
  signal: AbortSignal;
}

const REPORT_EVERY_MS = 60_000;

/** Rejects when the gateway cannot be reached or does not accept the admin key. */
export async function spendAgainst({ url, adminKey, callsPerSecond, signal }: AgainstOptions): Promise<void> {
  const admin = createAdminClient(url, adminKey);
  const teams = await createTeams(admin);
  process.stdout.write(`${teams.length} teams spend at ${url}\n`);
  const traffic = startTraffic({ baseUrl: `${url}/v1`, teams, callsPerSecond });
  while (!signal.aborted) {
    await delay(REPORT_EVERY_MS, null, { signal }).catch(() => {});
    const { failures } = traffic;
    if (failures.length > 0) process.stdout.write(`calls failed, the last one: ${failures.at(-1)}\n`);
  }
  await traffic.stop();
  await revokeKeys(admin, teams);
}
