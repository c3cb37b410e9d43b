/**
 * The command line's grammar. Owns: which command a line names, the help texts, and the message for a line that is wrong.
 * Pure: src/main.ts prints and runs. Does not own: the options of `demo`, `simulator` and `estimate`, which parse their own arguments.
 */
import { parseArgs } from 'node:util';

interface Command {
  summary: string;
  /** Names of the operands, all required. */
  operands: readonly string[];
  /** What `--help` says below the summary. */
  details: string;
  /** The command parses its own arguments, `--help` included. */
  parsesItself?: true;
}

const COMMANDS = {
  serve: {
    summary: 'start the gateway',
    operands: [],
    details: `Settings come from the environment; docs/CONFIG.md lists them. SIGINT and SIGTERM let the calls in flight finish;
a second signal ends them.`,
  },
  demo: {
    summary: 'serve, with a simulated OpenAI and sample traffic',
    operands: [],
    details: '',
    parsesItself: true,
  },
  simulator: { summary: 'the simulated OpenAI alone', operands: [], details: '', parsesItself: true },
  'check-config': {
    summary: 'check the settings and the configuration file, then exit',
    operands: [],
    details: `Reads the environment and, where TOLLGATE_CONFIG_FILE names one, the file with the upstreams. Names every problem with its
line, and exits with 2 if there is one. Nothing is started or called.`,
  },
  migrate: {
    summary: "bring the database to this version's schema, then exit",
    operands: [],
    details: `DATABASE_URL names the database; without it, the embedded one in TOLLGATE_DATA_DIR is meant. Run it as the owner of
the tables. A role named by TOLLGATE_RUNTIME_ROLE then gets the rights that serving needs, and no others.`,
  },
  distribute: {
    summary: 'spread the database over a Citus cluster, then exit',
    operands: [],
    details: `DATABASE_URL names the coordinator; migrate first, and stop the gateways. Repeatable. docs/SCALE.md says what lies
where afterwards.`,
  },
  estimate: {
    summary: 'what training, a batch or an application would cost',
    operands: ['KIND'],
    details: '',
    parsesItself: true,
  },
  'journal replay': {
    summary: "write a dead instance's journal to the ledger",
    operands: ['FILE'],
    details: `Fences that instance: it can admit nothing more. Events that the ledger already has are left alone, so the command
may be repeated. Calls without an outcome stay charged at their hold.`,
  },
} as const satisfies Record<string, Command>;

export type CommandName = keyof typeof COMMANDS;

export type Line =
  | { kind: 'run'; name: CommandName; args: string[] }
  | { kind: 'help'; text: string }
  | { kind: 'version' }
  | { kind: 'wrong'; text: string };

/** Returns what the arguments ask for; `wrong` has a message and the usage, for stderr and exit code 2. */
export function readLine(argv: readonly string[]): Line {
  const [first] = argv;
  if (first === undefined || first === 'help' || isHelp(first)) return { kind: 'help', text: overview() };
  if (first === '--version' || first === '-v') return { kind: 'version' };
  const name = commandNames().find((each) => each.split(' ').every((word, i) => argv[i] === word));
  if (name !== undefined) return readArguments(name, argv.slice(name.split(' ').length));
  const group = commandNames().find((each) => each.startsWith(`${first} `));
  if (group !== undefined && argv[1] !== undefined && isHelp(argv[1]))
    return { kind: 'help', text: help(group) };
  const what = first.startsWith('-') ? 'option' : 'command';
  const words = group === undefined ? first : argv.slice(0, 2).join(' ');
  return { kind: 'wrong', text: `there is no ${what} '${words}'\n\n${overview()}` };
}

function readArguments(name: CommandName, args: string[]): Line {
  const command: Command = COMMANDS[name];
  if (command.parsesItself) return { kind: 'run', name, args };
  try {
    const options = { help: { type: 'boolean', short: 'h', default: false } } as const;
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    if (values.help) return { kind: 'help', text: help(name) };
    if (positionals.length === command.operands.length) return { kind: 'run', name, args: positionals };
    const expected = command.operands.length === 0 ? 'no arguments' : command.operands.join(' ');
    const found = positionals.length === 0 ? 'none' : positionals.join(' ');
    return { kind: 'wrong', text: `${name} takes ${expected}, found ${found}\n\n${help(name)}` };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { kind: 'wrong', text: `${name}: ${error.message}\n\n${help(name)}` };
  }
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h';
}

function commandNames(): CommandName[] {
  return Object.keys(COMMANDS).filter((name): name is CommandName => Object.hasOwn(COMMANDS, name));
}

function overview(): string {
  const rows = commandNames().map((name) => [[name, ...COMMANDS[name].operands].join(' '), name] as const);
  const width = Math.max(...rows.map(([usage]) => usage.length)) + 2;
  const lines = rows.map(([usage, name]) => `  ${usage.padEnd(width)}${COMMANDS[name].summary}`);
  return `Usage: tollgate <command> [options]

${lines.join('\n')}

  --help, --version

'tollgate <command> --help' says more about one. Teams, keys and limits are managed in the console and over the admin
API (docs/ADMIN.md).
`;
}

function help(name: CommandName): string {
  const { summary, operands, details }: Command = COMMANDS[name];
  return `Usage: ${['tollgate', name, ...operands].join(' ')}

${summary[0]?.toUpperCase()}${summary.slice(1)}.

${details}

  --help
`;
}
