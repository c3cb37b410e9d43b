/** From the name of a command to what runs it. */
import { runApply } from './apply.ts';
import { COMPLETION_HELP, completionScript, completionsOf } from './completion.ts';
import { runExport } from './export.ts';
import { runProfile } from './profile-command.ts';
import { reporting, runResource } from './run.ts';
import { runSecrets } from './secrets.ts';
import type { CliWorld } from './world.ts';

type Run = (args: readonly string[], world: CliWorld) => Promise<number>;

const RUNS: Record<string, Run> = {
  apply: runApply,
  export: runExport,
  profile: runProfile,
  secrets: runSecrets,
  completion: (args, world) =>
    reporting('completion', world, async () => {
      const isHelp = args.length === 0 || args[0] === '--help' || args[0] === '-h';
      world.stdout(isHelp ? COMPLETION_HELP : completionScript(args[0]));
      return 0;
    }),
  complete: async (args, world) => {
    const words = completionsOf(args[0] === '--' ? args.slice(1) : args, world);
    world.stdout(words.map((word) => `${word}\n`).join(''));
    return 0;
  },
};

/** Runs a command for a running gateway; returns its exit code: 1 when it refuses or is away, 2 for a wrong line. */
export function runCommand(name: string, args: readonly string[], world: CliWorld): Promise<number> {
  const run = Object.hasOwn(RUNS, name) ? RUNS[name] : undefined;
  return run === undefined ? runResource(name, args, world) : run(args, world);
}
