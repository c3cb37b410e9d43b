/**
 * The command line of the gateway: serve | demo | simulator | migrate | journal replay. Owns: reading the environment,
 * what people are told, and the exit code. Does not own: what is wired (main/start.ts).
 */
import { Command } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { type Config, formatFaults, readConfig } from './config.ts';
import { replayJournal } from './main/journals.ts';
import { CannotStart, openDatabaseOf } from './main/open.ts';

/** Runs one command; the process ends with its exit code once nothing is left to do. */
export async function run(argv: string[]): Promise<void> {
  try {
    await commands().parseAsync(argv, { from: 'user' });
  } catch (error) {
    // What people can mend is said in one line; anything else is a bug of ours, and its place is what helps.
    const text = error instanceof CannotStart ? error.message : (error as Error).stack;
    process.stderr.write(`tollgate: ${text}\n`);
    process.exit(1);
  }
}

function commands(): Command {
  const program = new Command('tollgate').version(packageJson.version).showHelpAfterError();
  program
    .command('serve')
    .description('start the gateway')
    .action(async () => (await import('./main/serve.ts')).serve(configured(), packageJson.version));
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
    .action(async () => (await openDatabaseOf(configured(), () => {})).close());
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
  return program;
}

/** The configuration; with any fault in it the process ends and names them all. */
function configured(): Config {
  const config = readConfig(process.env);
  if (!Array.isArray(config)) return config;
  process.stderr.write(`${formatFaults(config)}\n`);
  process.exit(2);
}
