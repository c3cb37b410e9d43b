/** Programs that Debian has and npm has not. Tests that need one are skipped where it is missing, and say so. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The program's path; null: it is not installed. */
function findProgram(...names: string[]): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of names) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Not in this folder.
      }
    }
  }
  return null;
}

/** Like {@link findProgram}; what is missing is told where nobody can overlook it. */
export function programOrSkip(debianPackage: string, ...names: string[]): { path: string; missing: boolean } {
  const path = findProgram(...names);
  if (path === null) {
    process.stderr.write(`\n*** SKIPPED: ${names[0]} is missing (apt-get install ${debianPackage})\n\n`);
  }
  return { path: path ?? names[0]!, missing: path === null };
}

/** Runs a program to its end. Throws what it printed when it fails. */
export function runProgram(
  path: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
) {
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: 'utf8', ...options });
  if (status !== 0) throw new Error(`${path} ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}
