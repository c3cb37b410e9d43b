/**
 * Nested budgets under fire: 40 teams in three levels of departments, and 500 runs of agents in these teams, named by a tag of
 * which each value has a budget of its own; the ones below add up to more than the one above. First with plenty of money, to see how
 * many holds need no I/O while teams move; then with little, while replicas and Postgres are killed too. A call counts in the
 * departments that its event names: what the invoice says of them is held against each budget.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { asId, type DepartmentId } from '../../src/domain/ids.ts';
import { type PicoUsd, usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { seededRandom } from '../../src/simulator/random.ts';
import type { Sql } from '../../src/store/connection/sql.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { Crowd } from './crowd.ts';
import { change, create, GATEWAY_KINDS } from './gateways.ts';
import { type House, inHouse } from './house.ts';
import { judge, type Verdict } from './judge.ts';
import { align } from './promises.ts';
import { FULL_PLAN, type PlannedStrike, planFor, type Strike, strikeAll } from './strikes.ts';
import { atOncePercentOf, callAll, type TeamsPhase } from './teams.ts';

export interface NestedRun {
  replicas: number;
  workers: number;
  clients: number;
  /** Of the department at the top. */
  budgetUsd: string;
  teams: number;
  /** With plenty of money, after the first of each run on each replica. */
  calls: number;
  callsPerSecond: number;
  seed: number;
  plan?: readonly PlannedStrike[];
  progress(text: string): void;
}

/** One budget: of a department, or of a team. */
export interface LevelRow {
  name: string;
  level: number;
  amount: PicoUsd;
  billed: PicoUsd;
  /** What its counter has settled, and what its events add up to. */
  settled: PicoUsd;
  events: PicoUsd;
}

export interface NestedRow {
  replicas: number;
  teams: number;
  /** The first call of each run on each replica, and those that followed. */
  first: TeamsPhase;
  calm: TeamsPhase;
  calmMoves: number;
  verdict: Pick<Verdict, 'calls' | 'billed' | 'lost' | 'double' | 'wrong'>;
  strikes: Strike[];
  moves: number;
  levels: LevelRow[];
  oddities: string[];
}

const DIVISIONS = 3;
const UNITS = 8;
/** Shares of the top's budget, by level: what is below adds up to more than what is above. */
const SHARES = [1000n, 400n, 180n, 50n, 4n] as const;
const RUNS = 500;
const RUN_LEVEL = 4;
const TAG = 'run';
/** As documented: each run of an agent at most $2 and 50 calls; with little money only the money binds. */
const RUN_USD = '2.00';
const RUN_CALLS = 50;
/** For so many calls of all runs that is enough; for more each run has more. */
const USUAL_CALLS = 20_000;
const MANY_CALLS = '100000';
/** In the first phase nothing binds. */
const PLENTY_USD = '100000.00';
const PATIENCE_MS = 300_000;
const CALM_MS = 30_000;
const MOVE_MS = 700;

interface Team {
  teamId: string;
  key: string;
}

interface Budget {
  name: string;
  level: number;
  limitId: string;
  /** The department or the team. */
  id: string;
}

export async function runNested(run: NestedRun): Promise<NestedRow> {
  const { replicas, workers, budgetUsd, progress, seed } = run;
  const simulator = ['--seed', String(seed), '--median-output', '250', '--p99-output', '900'];
  return inHouse({ gateway: 'tollgate', replicas, workers, budgetUsd, simulator }, async (house) => {
    const sql = openClient(house.postgres.url, 2);
    try {
      const { budgets, teams, units, runCalls } = await makeTree(house, run);
      const runs = makeRuns(teams);
      progress(`${teams.length} teams in ${DIVISIONS + UNITS + 1} departments, ${runs.length} runs`);
      await delay(1_000);
      // Each run once on each replica, then wherever a load balancer happens to send it.
      const each = (index: number) => (index + Math.floor(index / RUNS)) % replicas;
      const firstCalls = { ...run, calls: RUNS * replicas, replicaOf: each, callsPerSecond: 0 };
      const first = await callAll(house, sql, runs, firstCalls);
      let isCalm = true;
      const moving = moveTeams(house, teams, units, seed, () => !isCalm);
      const random = seededRandom(seed, 'replicas');
      const replicaOf = () => Math.floor(random() * replicas);
      const calm = await callAll(house, sql, runs, { ...run, replicaOf });
      isCalm = false;
      const calmMoves = await moving;
      await change(house.replicas[0]!.url, `limits/${runCalls}`, { amount: MANY_CALLS });
      const amounts = await tighten(house, sql, budgets, usd(budgetUsd));
      const { strikes, moves, oddities } = await fight(house, run, teams, units);
      const lines = await settle(house, sql);
      const booked = await GATEWAY_KINDS.tollgate.readBooks(sql);
      const verdict = judge({ amount: amounts.get(budgets[0]!.id)!, lines, booked, denials: [] });
      const costs = new Map(lines.map((line) => [line.client_request_id ?? '', BigInt(line.cost_pico_usd)]));
      const levels = await readLevels(sql, budgets, amounts, costs);
      return {
        replicas,
        teams: teams.length,
        first,
        calm,
        calmMoves,
        verdict,
        strikes,
        moves,
        levels,
        oddities,
      };
    } finally {
      await closeClient(sql);
    }
  });
}

async function makeTree({ replicas }: House, { teams: count, calls: wanted }: NestedRun) {
  const url = replicas[0]!.url;
  const budgets: Budget[] = [];
  const window = { type: 'lifetime' };
  const limitOn = async (type: 'department' | 'team', id: string, name: string, level: number) => {
    const subject = { type, id };
    const rule = { subject, meter: 'cost_usd', amount: PLENTY_USD, max_unknown: PLENTY_USD, window };
    budgets.push({ name, level, id, limitId: String((await create(url, 'limits', rule)).id) });
  };
  const department = async (name: string, level: number, parentId: string | null) => {
    const { id } = await create(url, 'departments', { name, parent_id: parentId });
    await limitOn('department', String(id), name, level);
    return String(id);
  };
  const company = await department('company', 0, null);
  const divisions: string[] = [];
  for (let index = 0; index < DIVISIONS; index++)
    divisions.push(await department(`division ${index}`, 1, company));
  const units: string[] = [];
  for (let index = 0; index < UNITS; index++)
    units.push(await department(`unit ${index}`, 2, divisions[index % DIVISIONS]!));
  const teams: Team[] = [];
  for (let index = 0; index < count; index++) {
    const name = `team ${index}`;
    const unit = units[index % UNITS];
    const { id } = await create(url, 'teams', { name, plan: null, department_id: unit });
    await limitOn('team', String(id), name, 3);
    const { key } = await create(url, 'keys', { team_id: id, name });
    teams.push({ teamId: String(id), key: String(key) });
  }
  await create(url, 'tags', { name: TAG });
  const subject = { type: 'tag', name: TAG };
  const { id } = await create(url, 'limits', { subject, meter: 'cost_usd', amount: RUN_USD, window });
  budgets.push({ name: 'run', level: RUN_LEVEL, id: TAG, limitId: String(id) });
  const amount = String(Math.max(RUN_CALLS, Math.ceil((RUN_CALLS * wanted) / USUAL_CALLS)));
  const calls = await create(url, 'limits', { subject, meter: 'requests', amount, window });
  return { budgets, teams, units, runCalls: String(calls.id) };
}

/** The runs, each of one team. */
function makeRuns(teams: readonly Team[]): (Team & { tags: string })[] {
  return Array.from({ length: RUNS }, (_, index) => ({
    ...teams[index % teams.length]!,
    tags: `${TAG}=r${index}`,
  }));
}

/** Leaves each budget its share beyond what it has spent; returns the amounts by what they are of. */
async function tighten(
  { replicas }: House,
  sql: Sql,
  budgets: readonly Budget[],
  budget: PicoUsd,
): Promise<Map<string, PicoUsd>> {
  const amounts = new Map<string, PicoUsd>();
  for (const { id, level, limitId } of budgets) {
    const [row] = await sql<{ settled: string }[]>`
      select coalesce(max(settled), 0)::text as settled from counters where source_id = ${limitId}`;
    const amount = usd(row!.settled) + (budget * SHARES[level]!) / 1000n;
    await change(replicas[0]!.url, `limits/${limitId}`, { amount: formatUsd(amount) });
    amounts.set(id, amount);
  }
  return amounts;
}

/** Crowds of all teams call until all are denied, while processes are killed and teams move. */
async function fight(house: House, run: NestedRun, teams: readonly Team[], units: readonly string[]) {
  const { clients, seed, plan = FULL_PLAN, workers, budgetUsd, progress } = run;
  const each = Math.max(1, Math.floor(clients / teams.length));
  const runs = makeRuns(teams);
  const crowds = teams.map(({ key, teamId }, index) => {
    const tags = runs.filter((each) => each.teamId === teamId).map((each) => each.tags);
    return new Crowd({ ...house, key, clients: each, seed: seed + index, patienceMs: PATIENCE_MS, tags });
  });
  const isOver = () => crowds.every(({ busy }) => busy === 0);
  const spent = await house.upstream.billed();
  const mover = moveTeams(house, teams, units, seed, isOver);
  const strikes = await strikeAll(house, planFor(plan, workers), usd(budgetUsd), isOver, progress, spent);
  await Promise.all(crowds.map(({ ended }) => ended));
  const deaths = house.replicas.flatMap((replica) => replica.deaths);
  return {
    strikes,
    moves: await mover,
    oddities: [...deaths, ...crowds.flatMap(({ oddities }) => oddities)],
  };
}

/** Moves a team now and then; a replica that is down, or Postgres, refuses it. Returns how many moved. */
async function moveTeams(
  { replicas }: House,
  teams: readonly Team[],
  units: readonly string[],
  seed: number,
  isOver: () => boolean,
): Promise<number> {
  const random = seededRandom(seed, 'moves');
  const pick = <Item>(all: readonly Item[]) => all[Math.floor(random() * all.length)]!;
  let moves = 0;
  while (!isOver()) {
    await delay(MOVE_MS);
    const replica = replicas.find(({ up }) => up);
    if (!replica) continue;
    const body = { department_id: pick(units) };
    await change(replica.url, `teams/${pick(teams).teamId}`, body).then(
      () => moves++,
      () => null,
    );
  }
  return moves;
}

/** Waits until every line is in the books, or time is up; then all stop in good order. Returns the invoice. */
async function settle({ upstream, replicas }: House, sql: Sql) {
  const deadlineMs = performance.now() + CALM_MS;
  const lines = await upstream.lines();
  while (performance.now() < deadlineMs) {
    const ids = new Set((await GATEWAY_KINDS.tollgate.readBooks(sql)).map(({ id }) => id));
    if (lines.every((line) => ids.has(line.client_request_id ?? ''))) break;
    await delay(250);
  }
  await Promise.all(replicas.map((replica) => replica.stop()));
  return upstream.lines();
}

async function readLevels(
  sql: Sql,
  budgets: readonly Budget[],
  amounts: ReadonlyMap<string, PicoUsd>,
  costs: ReadonlyMap<string, PicoUsd>,
): Promise<LevelRow[]> {
  type Event = { id: string; team: string; departments: DepartmentId[] | null; run: string; cost: string };
  const events = await sql<Event[]>`
    select id, team_id as team, departments::text[] as departments, tags ->> ${TAG} as run, cost_usd::text as cost
    from usage_events`;
  const settled = await sql<{ id: string; settled: string }[]>`
    select subject_id as id, sum(settled)::text as settled from counters
    where source = 'limit' and meter = 'cost_usd' group by 1`;
  const settledOf = new Map(settled.map((row) => [row.id, usd(row.settled)]));
  const sum = (all: readonly PicoUsd[]) => all.reduce((total, each) => total + each, 0n);
  const row = (name: string, level: number, id: string, amount: PicoUsd, own: readonly Event[]) => ({
    ...{ name, level, amount, settled: settledOf.get(id) ?? 0n },
    billed: sum(own.map((event) => costs.get(event.id) ?? 0n)),
    events: sum(own.map((event) => usd(event.cost))),
  });
  const above = budgets
    .filter(({ level }) => level !== RUN_LEVEL)
    .map(({ id, name, level }) => {
      const own = events.filter((event) => event.team === id || event.departments?.includes(asId(id)));
      return row(name, level, id, amounts.get(id) ?? 0n, own);
    });
  const runs = [...Map.groupBy(events, ({ run }) => run)].map(([run, own]) =>
    row(`run ${run}`, RUN_LEVEL, `${TAG}=${run}`, amounts.get(TAG) ?? 0n, own),
  );
  return [...above, ...runs];
}

/** A row in words: of each level the budget that is closest to its end. */
export function describeNested({
  replicas,
  teams,
  first,
  calm,
  calmMoves,
  verdict,
  strikes,
  moves,
  levels,
}: NestedRow): string {
  const { calls, billed, lost, double, wrong } = verdict;
  const dollars = (amount: PicoUsd) => `$${formatUsd(amount)}`;
  const rows = ['company', 'divisions', 'units', 'teams', 'runs'].map((name, level) => {
    const own = levels.filter((each) => each.level === level);
    const over = own.filter((each) => each.billed > each.amount);
    const spent = own.filter((each) => each.billed * 100n >= each.amount * 95n);
    const most = own.reduce((all, each) => (each.billed > all ? each.billed : all), 0n);
    return [name, String(own.length), String(spent.length), String(over.length), dollars(most)];
  });
  return [
    `${replicas} replicas, ${teams} teams, ${RUNS} runs; the first call of each run on each replica: ${first.calls} calls, ` +
      `${first.atOncePercent.toFixed(2)} % held without I/O`,
    `with plenty of money ${calm.calls} calls in ${calm.seconds.toFixed(0)} s and ${calmMoves} moves: ${calm.atOncePercent.toFixed(2)} % held without I/O, ` +
      JSON.stringify(calm.statuses),
    `of all ${first.calls + calm.calls} calls with plenty of money: ${atOncePercentOf([first.holds, calm.holds]).toFixed(2)} % held without I/O`,
    `${strikes.length} kills, ${moves} moves; invoice: ${calls} calls, ${dollars(billed)}, ${lost} lost, ${double} double, ${wrong} wrong`,
    align([['level', 'budgets', '95 % spent', 'over', 'most billed'], ...rows]),
  ].join('\n');
}

const AT_ONCE_LEAST = 99;
/** With so few first calls among all, the least holds of all of them; what is left are waits of other calls. */
const FIRST_PERCENT = 0.95;

/** Every promise that a row breaks. */
export function brokenNestedPromises(row: NestedRow, strikesLeast: number): string[] {
  const { verdict, levels, first, calm, strikes, oddities } = row;
  const broken = [...oddities.slice(0, 10)];
  const { lost, double, wrong } = verdict;
  if (lost + double + wrong > 0) broken.push(`${lost} calls lost, ${double} double, ${wrong} wrong`);
  for (const { name, amount, billed, settled, events } of levels) {
    if (billed > amount)
      broken.push(`${name}: $${formatUsd(billed - amount)} over its $${formatUsd(amount)}`);
    if (settled !== events)
      broken.push(`${name}: its counter has $${formatUsd(settled)}, its events $${formatUsd(events)}`);
  }
  if (strikes.length < strikesLeast) broken.push(`only ${strikes.length} kills of ${strikesLeast}`);
  if (calm.atOncePercent < AT_ONCE_LEAST)
    broken.push(`only ${calm.atOncePercent.toFixed(2)} % of the calls were held without I/O`);
  const ofAll = atOncePercentOf([first.holds, calm.holds]);
  const isLong = first.calls * 100 <= (first.calls + calm.calls) * FIRST_PERCENT;
  if (isLong && ofAll < AT_ONCE_LEAST)
    broken.push(`only ${ofAll.toFixed(2)} % of all calls were held without I/O, first calls included`);
  return broken;
}
