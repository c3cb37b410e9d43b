/**
 * The command line's grammar. Owns: which command a line names, the help texts, and the message for a line that is wrong.
 * Pure: src/main.ts prints and runs. Does not own: the options of `demo`, `simulator` and `estimate`, which parse their own arguments.
 */
import { parseArgs } from 'node:util';

interface Command {
  summary: string;
  /** It asks a running gateway, over its admin API. */
  isRemote?: true;
  /** Only scripts use it. */
  isHidden?: true;
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
    details: `Reads the environment, the files that it names (certificate, keys, secrets) and, where TOLLGATE_CONFIG_FILE is set, the
file with the upstreams. Names every problem with its line, and exits with 2 if there is one. Nothing is started or called.`,
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
  ...remote({
    teams: 'teams, their balance and statement',
    departments: 'groups of teams, in a tree',
    people: 'who may sign in, and as what',
    tokens: 'keys of the admin API for programs',
    'role-mappings': 'roles of groups of the identity provider',
    tags: 'names and values that calls may carry',
    keys: 'virtual keys',
    limits: 'limits',
    grants: 'prepaid credit',
    plans: 'what a new team gets',
    prices: 'the rate card',
    usage: 'sums by team, key, model or operation',
    calls: 'calls, the newest first',
    unknown: 'calls of unknown outcome, and their release',
    overview: 'what was spent, what is left, when it ends',
    denials: 'how many calls a limit denied',
    errors: 'how many calls ended in another error',
    warnings: 'warnings of budgets',
    recipients: 'who is told what, by mail or webhook',
    notices: 'what was sent to whom',
    savings: 'what could be cheaper, in dollars',
    models: 'price, speed and labels by model',
    jobs: 'fine-tuning, batches and background responses',
    reconciliation: "the upstream's bill against the ledger",
    labels: 'whether answers were right',
    objects: 'what the upstream keeps, given to a team',
    operations: 'what the gateway knows of the OpenAI API',
    upstream: 'the upstream as it was probed',
    upstreams: 'several upstreams: health, calls, spend',
    secrets: 'keys of upstreams, encrypted in Postgres',
    store: 'whether the database has forgotten something',
    archive: 'months of calls that are kept as files',
    audit: 'who changed what',
    sessions: 'open sessions of the console',
    apply: 'make teams, limits, plans and prices as a file says',
    export: 'download calls, charges or a statement',
    profile: 'gateways and their admin keys, by name',
  }),
  complete: {
    summary: 'words for completion',
    operands: [],
    details: '',
    parsesItself: true,
    isHidden: true,
  },
  completion: {
    summary: 'a script for bash, zsh or fish',
    operands: ['SHELL'],
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

/** They parse their own arguments. */
function remote<const Name extends string>(summaries: Record<Name, string>): Record<Name, Command> {
  const entries = Object.entries<string>(summaries).map(([name, summary]): [string, Command] => [
    name,
    { summary, operands: [], details: '', parsesItself: true, isRemote: true },
  ]);
  return Object.fromEntries(entries) as Record<Name, Command>;
}

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
  // The usage of one command fits under its fault; the whole list would push the fault off the screen.
  const text =
    group === undefined
      ? `there is no ${what} '${first}': 'tollgate --help' lists what there is\n`
      : `there is no command '${argv.slice(0, 2).join(' ')}'\n\n${help(group)}`;
  return { kind: 'wrong', text };
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
    // Node goes on with advice about operands that begin with a dash, which no command has.
    const [problem] = error.message.split('. ');
    return { kind: 'wrong', text: `${name}: ${problem}\n\n${help(name)}` };
  }
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h';
}

export function commandNames(): CommandName[] {
  return Object.keys(COMMANDS).filter((name): name is CommandName => Object.hasOwn(COMMANDS, name));
}

function overview(): string {
  const shown = commandNames().filter((name) => !commandOf(name).isHidden);
  const rows = shown.map((name) => [[name, ...commandOf(name).operands].join(' '), name] as const);
  const width = Math.max(...rows.map(([usage]) => usage.length)) + 2;
  const linesOf = (isRemote: boolean) =>
    rows
      .filter(([, name]) => (commandOf(name).isRemote ?? false) === isRemote)
      .map(([usage, name]) => `  ${usage.padEnd(width)}${commandOf(name).summary}`)
      .join('\n');
  return `Usage: tollgate <command> [options]

On this machine:

${linesOf(false)}

For a running gateway, over its admin API (TOLLGATE_URL and TOLLGATE_ADMIN_KEY, or a profile):

${linesOf(true)}

  --help, --version

'tollgate <command> --help' says more about one.
`;
}

/** Names of the commands for a running gateway. */
export function remoteCommands(): CommandName[] {
  return commandNames().filter((name) => commandOf(name).isRemote);
}

function commandOf(name: CommandName): Command {
  return COMMANDS[name];
}

function help(name: CommandName): string {
  const { summary, operands, details }: Command = COMMANDS[name];
  return `Usage: ${['tollgate', name, ...operands].join(' ')}

${summary[0]?.toUpperCase()}${summary.slice(1)}.

${details}

  --help
`;
}
