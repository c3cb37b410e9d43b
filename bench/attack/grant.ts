/**
 * The attack proper: a crowd asks for more than a grant covers, while replicas and Postgres are killed under it; in the end
 * the books are held against the upstream's invoice.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { usd } from '../../src/domain/money.ts';
import type { Sql } from '../../src/store/database.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { Crowd } from './crowd.ts';
import { type BookedCall, GATEWAY_KINDS, type GatewayName } from './gateways.ts';
import { type Citus, type House, inHouse } from './house.ts';
import { judge, type Verdict } from './judge.ts';
import { type PlannedStrike, planFor, type Strike, strikeAll } from './strikes.ts';

export interface GrantAttack {
  /** The database; missing: one PostgreSQL. */
  citus?: Citus | null;
  gateway: GatewayName;
  replicas: number;
  /** Of each replica. */
  workers: number;
  clients: number;
  /** Decimal USD. */
  budgetUsd: string;
  seed: number;
  plan: readonly PlannedStrike[];
  progress(text: string): void;
}

export interface GrantRow extends Verdict {
  gateway: GatewayName;
  replicas: number;
  clients: number;
  budgetUsd: string;
  seed: number;
  seconds: number;
  answered: number;
  /** Retryable 429s, for money that was only held. */
  held: number;
  /** 503s: no denials, for Postgres was away. */
  unavailable: number;
  /** Calls that broke: most of them with what was killed. */
  broken: number;
  /** Answers that nothing in this attack should bring about. */
  oddities: string[];
  strikes: Strike[];
}

/** No row takes longer: a crowd that never hears that the budget is spent has found a budget that never is. */
const PATIENCE_MS = 480_000;
const PROGRESS_MS = 5_000;
/** How long the last calls' costs may be on their way into the books. */
const CALM_MS = 20_000;
const POLL_MS = 250;

/** Makes one row of the table. */
export async function attackGrant(attack: GrantAttack): Promise<GrantRow> {
  const { gateway, replicas, workers, clients, budgetUsd, seed, citus, progress } = attack;
  const plan = planFor(attack.plan, workers);
  const simulator = ['--seed', String(seed), '--median-output', '250', '--p99-output', '900'];
  return inHouse({ gateway, replicas, workers, budgetUsd, citus, simulator }, async (house) => {
    const startedMs = performance.now();
    const crowd = new Crowd({
      replicas: house.replicas,
      key: house.key,
      clients,
      seed,
      patienceMs: PATIENCE_MS,
    });
    const timer = setInterval(() => void report(house, crowd, attack), PROGRESS_MS);
    const striking = strikeAll(house, plan, usd(budgetUsd), () => crowd.busy === 0, progress);
    // A strike that fails ends the attack; the crowd need not be waited for.
    const [strikes] = await Promise.all([striking, Promise.race([crowd.ended, neverUnless(striking)])]);
    clearInterval(timer);
    const seconds = (performance.now() - startedMs) / 1000;
    const { lines, booked } = await calm(house, gateway);
    const { answered, held, unavailable, broken } = crowd.counts;
    return {
      gateway,
      replicas,
      clients,
      budgetUsd,
      seed,
      seconds,
      ...judge({ amount: usd(budgetUsd), lines, booked, denials: crowd.denials }),
      answered,
      held,
      unavailable,
      broken,
      oddities: [...house.replicas.flatMap((replica) => replica.deaths), ...crowd.oddities],
      strikes,
    };
  });
}

/** Rejects when the work does, and otherwise never ends. */
function neverUnless(work: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => work.catch(reject));
}

async function report({ upstream }: House, crowd: Crowd, { progress }: GrantAttack): Promise<void> {
  const billed = await upstream.billed().catch(() => null);
  if (billed === null) return;
  const { answered, held, unavailable, broken } = crowd.counts;
  progress(
    `${crowd.busy} clients busy, ${answered} calls answered, $${(Number(billed) / 1e12).toFixed(4)} billed; ` +
      `${crowd.denials.length} denied, ${held} to come again, ${unavailable} unavailable, ${broken} broken`,
  );
}

/** Traffic has calmed down: waits until every line is in the books, or time is up; then all stop in good order. */
async function calm({ postgres, upstream, replicas }: House, gateway: GatewayName) {
  const { readBooks } = GATEWAY_KINDS[gateway];
  const sql: Sql = openClient(postgres.url, 1);
  try {
    const deadlineMs = performance.now() + CALM_MS;
    const lines = await upstream.lines();
    while (performance.now() < deadlineMs && isMissingSome(await readBooks(sql), lines)) await delay(POLL_MS);
    await Promise.all(replicas.map((replica) => replica.stop()));
    return { lines: await upstream.lines(), booked: await readBooks(sql) };
  } finally {
    await closeClient(sql);
  }
}

function isMissingSome(booked: BookedCall[], lines: { client_request_id: string | null }[]): boolean {
  const ids = new Set(booked.map((call) => call.id));
  return lines.some((line) => !ids.has(line.client_request_id ?? ''));
}
