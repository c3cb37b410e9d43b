/**
 * The commands serve | demo | simulator | migrate | journal replay. Owns: reading the environment, what is printed, and
 * the exit code. Does not own: the grammar of the command line (main/command-line.ts), what is wired (main/app.ts).
 */
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { type Config, formatFaults, readConfig } from './config.ts';
import { type App, startApp } from './main/app.ts';
import { CannotStart } from './main/cannot-start.ts';
import { type CommandName, readLine } from './main/command-line.ts';
import { migrate, replayJournal } from './main/maintenance.ts';
import { type StopSignals, stopSignals } from './main/signals.ts';
import { createLog, type Log } from './telemetry/log.ts';

/** Runs one command; the process ends with its exit code once nothing is left to do. */
export async function run(argv: string[]): Promise<void> {
  const line = readLine(argv);
  if (line.kind === 'help') {
    process.stdout.write(line.text);
  } else if (line.kind === 'version') {
    process.stdout.write(`${packageJson.version}\n`);
  } else if (line.kind === 'wrong') {
    process.stderr.write(`tollgate: ${line.text}`);
    process.exitCode = 2;
  } else {
    await execute(line.name, line.args);
  }
}

async function execute(name: CommandName, args: string[]): Promise<void> {
  try {
    await COMMANDS[name](args);
  } catch (error) {
    // An operator's mistake is said in one line; anything else is a bug of ours, and its place is what helps.
    const text = error instanceof CannotStart ? error.message : (error as Error).stack;
    process.stderr.write(`tollgate: ${text}\n`);
    process.exit(1);
  }
}

const COMMANDS: Record<CommandName, (args: string[]) => Promise<void>> = {
  serve,
  demo: async (args) => (await import('./demo.ts')).run(args),
  simulator: async (args) => (await import('./simulator/main.ts')).run(args),
  migrate: () => migrate(configured()),
  'journal replay': async ([file = '']) => {
    const { inserted, unknown } = await replayJournal(configured(), file);
    process.stdout.write(
      `${inserted} events were new, ${unknown} calls had no outcome (charged at their hold)\n`,
    );
  },
};

/** The configuration; with any fault in it the process ends and names them all. */
function configured(): Config {
  const config = readConfig(process.env);
  if (!Array.isArray(config)) return config;
  process.stderr.write(`${formatFaults(config)}\n`);
  process.exit(2);
}

async function serve(): Promise<void> {
  const config = configured();
  const log = createLog({
    level: config.logLevel,
    logCalls: config.logCalls,
    secrets: [
      config.openaiApiKey,
      config.openaiAdminKey,
      config.adminKey,
      config.metricsKey,
      config.databaseUrl,
      config.webhookUrl,
      config.webhookSecret,
    ],
  });
  const signals = stopSignals();
  const started = startApp({ config, log, version: packageJson.version });
  const app = await Promise.race([started, secondSignal(signals.hurry)]);
  greet(app, config, log);
  process.exitCode = await stopped(app, signals, log);
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

/** How long what should have ended may still keep the process: a database that hangs, a handle that was forgotten. */
const LINGER_MS = 2000;

/** Rejects when the start is not worth waiting for any more: what it left is in order for the next one, as after a crash. */
function secondSignal(hurry: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    hurry.addEventListener('abort', () => reject(new CannotStart('stopped before the start was complete')));
  });
}

function greet(app: App, config: Config, log: Log): void {
  log.logger.info(
    { url: app.url, upstream: config.openaiApiKey === null ? null : config.openaiBaseUrl },
    'listening',
  );
  const lines = [`Tollgate listens on ${app.url}`];
  const keyPath = join(config.dataDir, 'admin-key');
  if (app.adminKeyMade) lines.push(`Admin key, shown this once (kept in ${keyPath}): ${app.adminKey}`);
  else if (config.adminKey === null) lines.push(`The admin key is in ${keyPath}`);
  if (config.openaiApiKey === null) {
    lines.push('OPENAI_API_KEY is not set: /v1 answers 503 upstream_not_configured.');
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Waits until the gateway must stop, and stops it. Answers the exit code. */
async function stopped(app: App, signals: StopSignals, log: Log): Promise<number> {
  const { logger } = log;
  const signal = await Promise.race([signals.asked, app.fenced]);
  if (signal) logger.info({ signal }, 'stopping: calls in flight may finish, a second signal ends them');
  else logger.fatal('another instance adopted this one: it may admit nothing more');
  // Until it is proven: a process with nothing left to do ends by itself, also in the middle of this.
  process.exitCode = 1;
  signals.hurry.addEventListener('abort', () => setTimeout(() => process.exit(), LINGER_MS).unref());
  try {
    await app.stop(signals.hurry);
    logger.info('stopped');
    return 0;
  } catch (error) {
    logger.error(
      { err: error },
      'stopped, but the ledger has not everything: the journal stays for the next start',
    );
    return 1;
  } finally {
    await log.flush();
  }
}
