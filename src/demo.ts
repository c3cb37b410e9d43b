/**
 * The demo: all of Tollgate on one machine, with teams that spend. Owns: the order from start to a clean end. Does not
 * own: the gateway (main/start.ts), which it uses over HTTP. Invariants: it touches no key or database of the
 * environment, except with `--against`; at the end it compares the ledger with the simulator's own invoice.
 */
import { setTimeout as delay } from 'node:timers/promises';
import packageJson from '../package.json' with { type: 'json' };
import { type AdminClient, createAdminClient } from './demo/admin-client.ts';
import { spendAgainst } from './demo/against.ts';
import { readFigures, readLedgerTotal, type TeamFigures } from './demo/figures.ts';
import { type DemoOptions, HELP, readOptions } from './demo/options.ts';
import { openScreen, type Screen } from './demo/screen.ts';
import { type DemoStack, startDemoStack } from './demo/stack.ts';
import { renderTable } from './demo/table.ts';
import { createTeams, type DemoTeam, OWN_TEAM, revokeKeys } from './demo/teams.ts';
import { startTraffic, type Traffic } from './demo/traffic.ts';
import { welcome } from './demo/welcome.ts';
import { defined } from './domain/defined.ts';
import type { PicoUsd } from './domain/money.ts';
import { formatUsd } from './domain/quantities.ts';
import { CannotStart } from './main/open.ts';

/** How long the last flush may take: the usual quarter of a second, and more on a busy machine. */
const SETTLED_WITHIN_MS = 30_000;
const SETTLED_POLL_MS = 100;
/** Figures that cannot be read so often, one time after the other, end the demo. */
const FAILED_READS_MOST = 5;

/** Runs until a signal or for the given duration. Exit code of the process: 0 clean, 1 failed, 2 wrong arguments. */
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
    if (options.against === null) await runHere(options, stop);
    else await runAgainst(options, options.against, stop);
  } catch (error) {
    const text = error instanceof CannotStart ? error.message : (error as Error).stack;
    process.stderr.write(`tollgate demo: ${text}\n`);
    // What a failed start left open must not keep the process alive; the next start cleans up, as after a crash.
    process.exit(1);
  }
}

/** Returns a controller that Ctrl-C, the end of the terminal and a closed output (`npm run demo | head`) abort. */
function stopSignal(): AbortController {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  process.stdout.on('error', () => stop.abort());
  return stop;
}

async function runAgainst(options: DemoOptions, url: string, stop: AbortController): Promise<void> {
  const adminKey = process.env.TOLLGATE_ADMIN_KEY;
  if (!adminKey) throw new CannotStart('--against needs TOLLGATE_ADMIN_KEY, the admin key of that gateway');
  const { callsPerSecond, durationSeconds } = options;
  const end = durationSeconds === null ? null : setTimeout(() => stop.abort(), durationSeconds * 1000);
  await spendAgainst({ url, adminKey, callsPerSecond, signal: stop.signal });
  if (end) clearTimeout(end);
}

async function runHere(options: DemoOptions, stop: AbortController): Promise<void> {
  const startedMs = performance.now();
  process.stdout.write('Starting PostgreSQL, a simulated OpenAI and the gateway …\n');
  const stack = await startDemoStack(options, packageJson.version);
  try {
    if (stop.signal.aborted) return;
    void stack.app.fenced.then(() => stop.abort());
    if (stack.port !== options.port) {
      process.stdout.write(`Port ${options.port} is taken: this is on port ${stack.port}.\n`);
    }
    const admin = createAdminClient(stack.app.url, stack.app.adminKey);
    const teams = await createTeams(admin);
    const own = defined(
      teams.find(({ profile }) => profile.name === OWN_TEAM),
      `the team ${OWN_TEAM}`,
    );
    process.stdout.write(
      welcome({
        version: packageJson.version,
        startedInMs: performance.now() - startedMs,
        url: stack.app.url,
        key: own.key,
        teamName: own.teamName,
        adminKey: stack.app.adminKey,
        logPath: stack.logPath,
      }),
    );
    const earlierPicoUsd = await readLedgerTotal(admin);
    const run = { stack, admin, teams, earlierPicoUsd };
    const { ledgerPicoUsd, invoicePicoUsd } = await spend(options, run, stop);
    process.stdout.write(comparison(ledgerPicoUsd, invoicePicoUsd));
  } finally {
    await stack.close();
    process.stdout.write('Stopped: calls settled, ledger on disk, database down.\n');
  }
}

interface Run {
  stack: DemoStack;
  admin: AdminClient;
  teams: readonly DemoTeam[];
  /** What the ledger had when it began: the simulated OpenAI forgets its invoice between runs. */
  earlierPicoUsd: PicoUsd;
}

async function spend(
  options: DemoOptions,
  run: Run,
  stop: AbortController,
): Promise<{ ledgerPicoUsd: PicoUsd; invoicePicoUsd: PicoUsd }> {
  const { stack, admin, teams } = run;
  const { callsPerSecond, durationSeconds } = options;
  const traffic = startTraffic({ baseUrl: `${stack.app.url}/v1`, teams, callsPerSecond });
  const end = durationSeconds === null ? null : setTimeout(() => stop.abort(), durationSeconds * 1000);
  const screen = openScreen();
  try {
    let failedReads = 0;
    while (!stop.signal.aborted) {
      try {
        draw(screen, await readFigures(admin, teams, traffic.denials), traffic, 'Ctrl-C stops.');
        failedReads = 0;
      } catch (error) {
        // A machine that is busy with other work keeps them waiting: the next ones come soon.
        if (++failedReads > FAILED_READS_MOST) throw error;
      }
      await delay(screen.intervalMs, null, { signal: stop.signal }).catch(() => {});
    }
    if (end) clearTimeout(end);
    // In this order: the table would show a call with a revoked key as a failure.
    await traffic.stop();
    await revokeKeys(admin, teams);
    const totals = await settledTotals(run);
    draw(screen, await readFigures(admin, teams, traffic.denials), traffic, '');
    return totals;
  } finally {
    await traffic.stop();
    screen.end();
  }
}

function draw(screen: Screen, figures: readonly TeamFigures[], traffic: Traffic, hint: string): void {
  const { failures } = traffic;
  const lines = renderTable(figures, screen.style);
  if (failures.length > 0) lines.push(`${failures.length} calls failed, the last one: ${failures.at(-1)}`);
  if (hint !== '') lines.push('', screen.style.quiet(hint));
  screen.show(lines);
}

/** Returns what the calls of this run cost once the last are in the rollups, or the latest when that takes too long. */
async function settledTotals({
  stack,
  admin,
  earlierPicoUsd,
}: Run): Promise<{ ledgerPicoUsd: PicoUsd; invoicePicoUsd: PicoUsd }> {
  const untilMs = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const ledgerPicoUsd = (await readLedgerTotal(admin)) - earlierPicoUsd;
    const invoicePicoUsd = BigInt(stack.simulator.invoice().total_pico_usd);
    if (ledgerPicoUsd === invoicePicoUsd || performance.now() > untilMs)
      return { ledgerPicoUsd, invoicePicoUsd };
    await delay(SETTLED_POLL_MS);
  }
}

function comparison(ledgerPicoUsd: PicoUsd, invoicePicoUsd: PicoUsd): string {
  const ledger = formatUsd(ledgerPicoUsd);
  if (ledgerPicoUsd === invoicePicoUsd) {
    return `The ledger and the simulated OpenAI's own invoice agree to the last digit: $${ledger}.\n`;
  }
  return `The ledger says $${ledger}, the simulated OpenAI's own invoice $${formatUsd(invoicePicoUsd)}.\n`;
}
