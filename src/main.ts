/**
 * The commands of `tollgate`. Owns: reading the environment, what is printed, and the exit code. Does not own: the grammar
 * of the command line (main/command-line.ts), what is wired (main/start.ts), the commands for a running gateway (cli).
 */
import { homedir } from 'node:os';
import { text } from 'node:stream/consumers';
import packageJson from '../package.json' with { type: 'json' };
import type { CliWorld } from './cli/world.ts';
import { type Config, formatProblems, readConfig } from './config.ts';
import { type CommandName, commandNames, readLine } from './main/command-line.ts';
import { CannotStart, distributeDatabaseOf, migrateDatabaseOf } from './main/open.ts';

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
    if (isOwn(name)) await COMMANDS[name](args);
    else process.exitCode = await (await import('./cli/commands.ts')).runCommand(name, args, cliWorld());
  } catch (error) {
    // An operator's mistake is said in one line; anything else is a bug of ours, and its place is what helps.
    const why = error instanceof CannotStart ? error.message : (error as Error).stack;
    process.stderr.write(`tollgate: ${why}\n`);
    process.exit(1);
  }
}

function isOwn(name: CommandName): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name);
}

/** A reader that has enough, such as `head`, leaves: that is no failure, and there is no one to write to any more. */
function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

function cliWorld(): CliWorld {
  endWithReader();
  return {
    env: process.env,
    home: homedir(),
    commands: commandNames(),
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    stdin: () => text(process.stdin),
    isTerminal: process.stdin.isTTY === true,
  };
}

/** All commands but those for a running gateway. */
const COMMANDS = {
  serve: async () => (await import('./main/serve.ts')).serve(configured(), packageJson.version),
  demo: async (args) => (await import('./demo.ts')).run(args),
  simulator: async (args) => {
    const { run: simulate } = await import('./simulator/main.ts');
    await simulate(args).catch((error: NodeJS.ErrnoException) => {
      const isWrongLine = error instanceof RangeError || error instanceof TypeError;
      if (!isWrongLine && error.syscall === undefined) throw error;
      const [problem] = error.message.split('. ');
      process.stderr.write(`tollgate simulator: ${problem}. 'tollgate simulator --help' lists the options\n`);
      process.exitCode = isWrongLine ? 2 : 1;
    });
  },
  estimate: async (args) => {
    endWithReader();
    const { runEstimate } = await import('./main/estimate/run.ts');
    process.exitCode = await runEstimate(args, {
      env: process.env,
      nowMs: Date.now(),
      stdout: (text) => process.stdout.write(text),
      stderr: (text) => process.stderr.write(text),
      isTerminal: process.stderr.isTTY,
    });
  },
  'check-config': async () => {
    const config = readConfig(process.env);
    const problems = Array.isArray(config) ? [formatProblems(config)] : await fileProblems(config);
    const configFile = Array.isArray(config) ? process.env.TOLLGATE_CONFIG_FILE : config.configFile;
    const { readFileNow } = await import('./main/upstreams.ts');
    const read = configFile ? readFileNow(configFile, () => 'not-looked-up') : null;
    if (typeof read === 'string') problems.push(read);
    if (typeof read === 'string' || problems.length > 0) {
      process.stderr.write(`${problems.join('\n')}\n`);
      process.exit(2);
    }
    const names = read?.upstreams.map(({ name }) => name).join(', ') ?? '';
    process.stdout.write(`The settings are valid${names === '' ? '' : `; upstreams: ${names}`}\n`);
  },
  migrate: () => migrateDatabaseOf(configured()),
  distribute: () => distributeDatabaseOf(configured()),
  'journal replay': async ([file = '']) => {
    const { replayJournal } = await import('./main/journals.ts');
    const { inserted, unknown } = await replayJournal(configured(), file);
    process.stdout.write(
      `${inserted} events were new, ${unknown} calls had no outcome (charged at their hold)\n`,
    );
  },
} satisfies Partial<Record<CommandName, (args: string[]) => Promise<void>>>;

/** What is wrong with the files that settings name, but for that of the upstreams: a start would fail on it. */
async function fileProblems(config: Config): Promise<string[]> {
  const { tlsProblem } = await import('./main/tls.ts');
  const { openVault } = await import('./main/secrets.ts');
  const { openSealer } = await import('./main/contents.ts');
  const { secretOf } = await import('./main/http/identity-provider.ts');
  const reads = [
    () => openVault(config),
    () => openSealer(config),
    () => secretOf(config.oidcClientSecretFile),
  ];
  const unreadable = reads.map((read) => {
    try {
      read();
      return null;
    } catch (error) {
      if (error instanceof CannotStart) return error.message;
      throw error;
    }
  });
  return [tlsProblem(config), ...unreadable].filter((problem) => problem !== null);
}

/** The configuration; with any fault in it the process ends and names them all. */
function configured(): Config {
  const config = readConfig(process.env);
  if (!Array.isArray(config)) return config;
  process.stderr.write(`${formatProblems(config)}\n`);
  process.exit(2);
}
