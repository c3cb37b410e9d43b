/**
 * The command line of the gateway: serve | demo | simulator | migrate | journal replay. Owns: reading the environment,
 * signals and the exit code. Does not own: what is wired (main/app.ts).
 */
import { Command } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { type Config, formatFaults, readConfig } from './config.ts';
import { startApp } from './main/app.ts';
import { migrate, replayJournal } from './main/maintenance.ts';
import { createLog, type Log } from './telemetry/log.ts';

/** Runs one command; the process ends with its exit code once nothing is left to do. */
export async function run(argv: string[]): Promise<void> {
  const program = new Command('tollgate').version(packageJson.version).showHelpAfterError();
  program.command('serve').description('start the gateway').action(serve);
  program
    .command('demo')
    .description('serve, with a simulated OpenAI and sample traffic')
    .allowUnknownOption()
    .helpOption(false)
    .argument('[options...]')
    .action(async (options: string[]) => (await import('./demo.ts')).run(options));
  program
    .command('simulator')
    .description('the simulated OpenAI alone')
    .allowUnknownOption()
    .helpOption(false)
    .argument('[options...]')
    .action(async (options: string[]) => (await import('./simulator/main.ts')).run(options));
  program
    .command('migrate')
    .description("bring the database to this version's schema, then exit")
    .action(async () => migrate(configured()));
  program
    .command('journal')
    .description('journals of dead instances')
    .command('replay <file>')
    .description('bring what a dead instance wrote into the ledger and fence it; twice changes nothing')
    .action(async (file: string) => {
      const { inserted, unknown } = await replayJournal(configured(), file);
      process.stdout.write(
        `${inserted} events were new, ${unknown} calls had no outcome (charged at their hold)\n`,
      );
    });
  await program.parseAsync(argv, { from: 'user' });
}

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
    ],
  });
  const app = await startApp({ config, log, version: packageJson.version });
  log.logger.info(
    { url: app.url, upstream: config.openaiApiKey === null ? null : config.openaiBaseUrl },
    'listening',
  );
  process.stdout.write(`Tollgate listens on ${app.url}\n`);
  if (app.adminKeyMade) {
    process.stdout.write(
      `Admin key, shown this once (kept in ${config.dataDir}/admin-key): ${app.adminKey}\n`,
    );
  }
  if (config.openaiApiKey === null) {
    process.stdout.write('OPENAI_API_KEY is not set: /v1 answers 503 upstream_not_configured.\n');
  }
  await ended(app.fenced, log);
  process.exitCode = await stop(app, log);
}

/** Waits for the signal to stop, or for the news that another instance took this one over. */
function ended(fenced: Promise<void>, log: Log): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        log.logger.info({ signal }, 'stopping: calls in flight may finish');
        resolve();
      });
    }
    void fenced.then(() => {
      log.logger.fatal('another instance adopted this one: it may admit nothing more');
      resolve();
    });
  });
}

async function stop(app: { stop(): Promise<void> }, log: Log): Promise<number> {
  try {
    await app.stop();
    log.logger.info('stopped');
    return 0;
  } catch (error) {
    log.logger.error(
      { err: error },
      'stopped, but the ledger has not everything: the journal stays for the next start',
    );
    return 1;
  } finally {
    await log.flush();
  }
}
