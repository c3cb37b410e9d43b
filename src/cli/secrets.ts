/** `tollgate secrets set NAME`: the value comes from stdin, so that it stands in no list of processes. */
import { reporting, runResource } from './run.ts';
import { type CliWorld, WrongLine } from './world.ts';

const HELP = `Usage: tollgate secrets set NAME

Keeps a secret, encrypted, new or in the place of the one of that name. Its value is read from stdin: one line.

  echo "$OPENAI_API_KEY" | tollgate secrets set openai
`;

/** Returns the exit code. */
export function runSecrets(args: readonly string[], world: CliWorld): Promise<number> {
  if (args[0] !== 'set') return runResource('secrets', args, world);
  return reporting('secrets', world, async () => {
    const [, name, ...rest] = args;
    if (name === undefined || name.startsWith('-') || rest.includes('--help')) {
      world.stdout(HELP);
      return 0;
    }
    if (world.isTerminal) world.stderr('Value (then Enter and Ctrl-D): ');
    const value = (await world.stdin()).replace(/\r?\n$/, '');
    if (value === '' || /[\r\n]/.test(value)) throw new WrongLine('secrets set reads one line from stdin');
    return runResource('secrets', ['create', `--name=${name}`, `--value=${value}`, ...rest], world);
  });
}
