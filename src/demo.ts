/**
 * The demo: all of Tollgate on one machine, with teams that spend. Owns: the order of the show, from start to a clean
 * end. Does not own: what the gateway is (main/start.ts); it is used as anybody would, over HTTP. Invariants: nothing of
 * the environment's keys or databases is touched, unless it is told to spend elsewhere (`--against`); at the end the
 * ledger is held against the simulator's own invoice.
 */
import { setTimeout as delay } from 'node:timers/promises';
import packageJson from '../package.json' with { type: 'json' };
import { type AdminClient, createAdminClient } from './demo/admin-client.ts';
import { spendAgainst } from './demo/against.ts';
import { YOU } from './demo/cast.ts';
import { readFigures, type TeamFigures, totalCost } from './demo/figures.ts';
import { CannotStart, type House, openHouse } from './demo/house.ts';
import { type DemoOptions, HELP, readOptions } from './demo/options.ts';
import { openScreen, type Screen } from './demo/screen.ts';
import { renderTable } from './demo/table.ts';
import { makePlayers, type Player, revokeKeys } from './demo/teams.ts';
import { startTraffic, type Traffic } from './demo/traffic.ts';
import { welcome } from './demo/welcome.ts';
import { formatUsd, type PicoUsd } from './domain/money.ts';

/** Flushes go to Postgres every quarter of a second; a busy machine gets more. */
const SETTLED_WITHIN_MS = 5_000;
const SETTLED_POLL_MS = 100;

/** Runs until a signal or for the asked duration. The process's exit code: 0 clean, 1 failed, 2 wrong arguments. */
export async function run(argv: string[]): Promise<void> {
  const options = readOptions(argv);
  if (options === 'help') {
    process.stdout.write(HELP);
    return;
  }
  if ('problem' in options) {
    process.stderr.write(`tollgate demo: ${options.problem}\n\n${HELP}`);
    process.exitCode = 2;
    return;
  }
  const stop = stopSignal();
  try {
    if (options.against === null) await show(options, stop);
    else await elsewhere(options, options.against, stop);
  } catch (error) {
    const text = error instanceof CannotStart ? error.message : (error as Error).stack;
    process.stderr.write(`tollgate demo: ${text}\n`);
    // Whatever was half open must not keep the process: the next start cleans up, as after any crash.
    process.exit(1);
  }
}

/** Aborted by Ctrl-C, by the end of the terminal, and when nobody reads any more (`npm run demo | head`). */
function stopSignal(): AbortController {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  process.stdout.on('error', () => stop.abort());
  return stop;
}

async function elsewhere(options: DemoOptions, url: string, stop: AbortController): Promise<void> {
  const adminKey = process.env.TOLLGATE_ADMIN_KEY;
  if (!adminKey) throw new CannotStart('--against needs TOLLGATE_ADMIN_KEY, the admin key of that gateway');
  const { callsPerSecond, durationSeconds } = options;
  const end = durationSeconds === null ? null : setTimeout(() => stop.abort(), durationSeconds * 1000);
  await spendAgainst({ url, adminKey, callsPerSecond, signal: stop.signal });
  if (end) clearTimeout(end);
}

async function show(options: DemoOptions, stop: AbortController): Promise<void> {
  const startedMs = performance.now();
  process.stdout.write('Starting PostgreSQL, a simulated OpenAI and the gateway …\n');
  const house = await openHouse(options, packageJson.version);
  try {
    if (stop.signal.aborted) return;
    void house.app.fenced.then(() => stop.abort());
    if (house.port !== options.port) {
      process.stdout.write(`Port ${options.port} is taken: this is on port ${house.port}.\n`);
    }
    const admin = createAdminClient(house.app.url, house.app.adminKey);
    const players = await makePlayers(admin);
    const you = players.find(({ role }) => role.name === YOU)!;
    process.stdout.write(
      welcome({
        version: packageJson.version,
        startedInMs: performance.now() - startedMs,
        url: house.app.url,
        key: you.key,
        teamName: you.teamName,
        adminKey: house.app.adminKey,
        logPath: house.logPath,
      }),
    );
    const { ledgerPicoUsd, invoicePicoUsd } = await play(options, house, admin, players, stop);
    process.stdout.write(verdict(ledgerPicoUsd, invoicePicoUsd));
  } finally {
    await house.close();
    process.stdout.write('Stopped: calls settled, ledger on disk, database down.\n');
  }
}

async function play(
  options: DemoOptions,
  house: House,
  admin: AdminClient,
  players: readonly Player[],
  stop: AbortController,
): Promise<{ ledgerPicoUsd: PicoUsd; invoicePicoUsd: PicoUsd }> {
  const { callsPerSecond, durationSeconds } = options;
  const traffic = startTraffic({ baseUrl: `${house.app.url}/v1`, players, callsPerSecond });
  const end = durationSeconds === null ? null : setTimeout(() => stop.abort(), durationSeconds * 1000);
  const screen = openScreen();
  try {
    while (!stop.signal.aborted) {
      draw(screen, await readFigures(admin, players, traffic.denials), traffic, 'Ctrl-C stops.');
      await delay(screen.intervalMs, null, { signal: stop.signal }).catch(() => {});
    }
    if (end) clearTimeout(end);
    // In this order: a call that begins with a revoked key would stand in the last table as a failure.
    await traffic.stop();
    await revokeKeys(admin, players);
    const { figures, invoicePicoUsd } = await settledFigures(house, admin, players, traffic);
    draw(screen, figures, traffic, '');
    return { ledgerPicoUsd: totalCost(figures), invoicePicoUsd };
  } finally {
    await traffic.stop();
    screen.end();
  }
}

function draw(screen: Screen, figures: readonly TeamFigures[], traffic: Traffic, hint: string): void {
  const { failures } = traffic;
  const lines = renderTable(figures, screen.look);
  if (failures.length > 0) lines.push(`${failures.length} calls failed, the last one: ${failures.at(-1)}`);
  if (hint !== '') lines.push('', screen.look.quiet(hint));
  screen.show(lines);
}

/** The figures once the last calls have reached the rollups, or what there is when that takes too long. */
async function settledFigures(
  house: House,
  admin: AdminClient,
  players: readonly Player[],
  traffic: Traffic,
): Promise<{ figures: TeamFigures[]; invoicePicoUsd: PicoUsd }> {
  const untilMs = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const figures = await readFigures(admin, players, traffic.denials);
    const invoicePicoUsd = BigInt(house.simulator.invoice().total_pico_usd);
    if (totalCost(figures) === invoicePicoUsd || performance.now() > untilMs)
      return { figures, invoicePicoUsd };
    await delay(SETTLED_POLL_MS);
  }
}

function verdict(ledgerPicoUsd: PicoUsd, invoicePicoUsd: PicoUsd): string {
  const ledger = formatUsd(ledgerPicoUsd);
  if (ledgerPicoUsd === invoicePicoUsd) {
    return `The ledger and the simulated OpenAI's own invoice agree to the last digit: $${ledger}.\n`;
  }
  return `The ledger says $${ledger}, the simulated OpenAI's own invoice $${formatUsd(invoicePicoUsd)}.\n`;
}
