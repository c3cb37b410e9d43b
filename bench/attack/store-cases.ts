/**
 * What a database does to its gateways in the attack on the store: it hangs, restarts, fails over, is restored. Owns: the
 * cases, and what may be over in each.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PgServer, Switch } from './cluster.ts';
import { acceptLoss, storeState } from './gateways.ts';
import type { Replica } from './replica.ts';
import type { Upstream } from './upstream.ts';

/** What a case needs beside its gateways. */
export interface Ground {
  folder: string;
  programs: string;
  primary: PgServer;
  standby: PgServer | null;
  address: Switch;
  replicas: Replica[];
  upstream: Upstream;
  /** Dollars billed so far reach a share of the budget. */
  billed(share: number): Promise<void>;
  say(text: string): void;
}

export interface StoreCase {
  name: string;
  what: string;
  hasStandby?: boolean;
  isSynchronous?: boolean;
  pooler?: 'session' | 'transaction';
  /** Returns the most that may be over, in USD; null: nothing. */
  strike(ground: Ground): Promise<string | null>;
}

/** Seconds of write-ahead log that an asynchronous standby lacks. */
const LOST_MS = 3_000;

/** The standby stops following, traffic goes on, and the primary dies: the standby takes over without the last seconds. */
async function failOver(
  { primary, standby, address, say }: Ground,
  lostMs: number,
  beforeTheEnd: () => Promise<void> = async () => {},
): Promise<void> {
  const next = standby!;
  if (lostMs > 0) {
    await primary.caughtUp();
    await next.cutOff();
    await delay(lostMs);
  }
  await beforeTheEnd();
  await primary.kill();
  await next.promote();
  address.to(next.port);
  say(`failed over, ${lostMs} ms of commits lost`);
}

async function restore(ground: Ground, kind: 'backup' | 'copy'): Promise<void> {
  const { primary, folder, address, say } = ground;
  await ground.billed(0.2);
  const old = await primary.copy(join(folder, 'old'));
  await ground.billed(0.45);
  await primary.kill();
  if (kind === 'backup') old.beginTimeline();
  await old.start();
  address.to(old.port);
  say('restored');
}

/** From here on all calls come to one gateway. */
function onlyFirst({ replicas }: Ground): void {
  for (const replica of replicas.slice(1)) replica.up = false;
}

export const STORE_CASES: readonly StoreCase[] = [
  {
    name: 'silent',
    what: 'open connections pass no byte for good; new ones work',
    async strike(ground) {
      for (const share of [0.2, 0.5]) {
        await ground.billed(share);
        ground.address.silence();
        ground.say('all connections silent');
      }
      return null;
    },
  },
  {
    name: 'restart',
    what: 'SIGKILL to the server, twice, and a start on the same files',
    async strike(ground) {
      for (const share of [0.2, 0.5]) {
        await ground.billed(share);
        await ground.primary.kill();
        await delay(500);
        await ground.primary.start();
        ground.say('restarted');
      }
      return null;
    },
  },
  ...(['session', 'transaction'] as const).map(
    (pooler): StoreCase => ({
      name: `pgbouncer ${pooler}`,
      what: `PgBouncer in ${pooler} pooling, the server restarted behind it`,
      pooler,
      async strike(ground) {
        await ground.billed(0.3);
        await ground.primary.kill();
        await delay(500);
        await ground.primary.start();
        return null;
      },
    }),
  ),
  {
    name: 'async fail-over',
    what: `a standby takes over without the last ${LOST_MS / 1000} s, then all calls come to one gateway`,
    hasStandby: true,
    async strike(ground) {
      await ground.billed(0.3);
      await failOver(ground, LOST_MS);
      onlyFirst(ground);
      return null;
    },
  },
  {
    name: 'async, one restarted',
    what: 'the same; one gateway is killed with the primary, and starts again on its data folder',
    hasStandby: true,
    async strike(ground) {
      await ground.billed(0.3);
      const [, second] = ground.replicas;
      await failOver(ground, LOST_MS, () => second!.kill());
      await second!.start();
      return null;
    },
  },
  {
    name: 'async, one gone',
    what: 'the same; its disk is lost too, and an admin accepts that',
    hasStandby: true,
    async strike(ground) {
      await ground.billed(0.3);
      const [first, second] = ground.replicas;
      let lent = '0';
      await failOver(ground, LOST_MS, async () => {
        await second!.kill();
        lent = await lentBy(ground.primary);
      });
      await accept(ground, first!);
      return lent;
    },
  },
  {
    name: 'old backup',
    what: 'a backup from an earlier moment is restored under running gateways, on a new timeline',
    async strike(ground) {
      await restore(ground, 'backup');
      return null;
    },
  },
  {
    name: 'old copy',
    what: 'an old copy of the files is started in the place of the server: same timeline, shorter log',
    async strike(ground) {
      await restore(ground, 'copy');
      return null;
    },
  },
  {
    name: 'sync fail-over',
    what: 'a synchronous standby takes over; loans wait for it (TOLLGATE_GRANTS_WAIT)',
    hasStandby: true,
    isSynchronous: true,
    async strike(ground) {
      await ground.billed(0.3);
      await failOver(ground, 0);
      await ground.standby!.ask("alter system set synchronous_standby_names = ''", 'postgres');
      return null;
    },
  },
  {
    name: 'sync, one gone',
    what: 'the same; one gateway dies with its disk, and an admin accepts that',
    hasStandby: true,
    isSynchronous: true,
    async strike(ground) {
      await ground.billed(0.3);
      const [first, second] = ground.replicas;
      await second!.kill();
      await failOver(ground, 0);
      await accept(ground, first!);
      return null;
    },
  },
];

/**
 * What a server had lent and not heard of again: the most that instances that died with it may have spent without a
 * trace, beside what they had spent before.
 */
async function lentBy(server: PgServer): Promise<string> {
  const [row] = await server.ask(
    "select coalesce(sum(granted - returned), 0)::text as lent from leases l join counters c on c.team_id = l.team_id and c.id = l.counter_id where c.meter = 'cost_usd'",
  );
  return String(row?.lent ?? '0');
}

/** Waits until a gateway has noticed the break, then accepts what did not put back. */
async function accept({ say }: Ground, replica: Replica): Promise<void> {
  for (let waited = 0; waited < 30_000; waited += 250) {
    const state = await storeState(replica.url).catch(() => null);
    // The living have put back; the dead one is waited for.
    if (state !== null && !state.is_lending && state.awaited.length === 1) break;
    await delay(250);
  }
  await acceptLoss(replica.url, 'its disk is lost');
  say('an admin accepted the loss');
}
