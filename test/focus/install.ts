/** focus-validator, pinned, in an environment of its own that later runs use again. Without it the test is skipped, and says so. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

/** With a newer pyarrow it reads no Parquet; pyarrow 17 has wheels for Python 3.12 and older, focus-validator wants 3.12 or newer. */
const PACKAGES = ['focus-validator==2.2.1', 'pyarrow==17.0.0'];

export interface Validator {
  /** The program; null: it cannot be had here. */
  program: string | null;
  /** Where it must be started: it looks for its list of currencies there alone. */
  folder: string;
  /** Why there is none. */
  missing: string | null;
}

declare module 'vitest' {
  interface ProvidedContext {
    validator: Validator;
  }
}

export default function setup(project: TestProject): void {
  const pins = createHash('sha256').update(PACKAGES.join()).digest('hex');
  const root = process.env.TOLLGATE_FOCUS_DIR ?? join(tmpdir(), 'tollgate-test-focus');
  const home = join(root, pins.slice(0, 12));
  try {
    install(home);
    const [folder] = globSync(join(home, 'lib/python3*/site-packages'));
    if (folder === undefined) throw new Error(`no site-packages in ${home}`);
    project.provide('validator', { program: join(home, 'bin/focus-validator'), folder, missing: null });
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    const why = error instanceof Error ? error.message.slice(0, 500) : String(error);
    process.stderr.write(`\n*** focus-validator is SKIPPED: ${why}\n\n`);
    project.provide('validator', { program: null, folder: '', missing: why });
  }
}

function install(home: string): void {
  const done = join(home, 'installed');
  if (existsSync(done)) return;
  execFileSync(pythonOf(), ['-m', 'venv', home], { stdio: 'pipe' });
  const flags = ['--quiet', '--disable-pip-version-check'];
  execFileSync(join(home, 'bin/python'), ['-m', 'pip', 'install', ...flags, ...PACKAGES], { stdio: 'pipe' });
  writeFileSync(done, '');
}

/** Returns a Python 3.12. @throws when there is none */
function pythonOf(): string {
  const own = globSync(join(homedir(), '.pyenv/versions/3.12*/bin/python3'));
  const found = ['python3.12', ...own, 'python3'].find((python) => {
    try {
      return execFileSync(python, ['--version'], { stdio: 'pipe' }).toString().startsWith('Python 3.12.');
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error('there is no Python 3.12');
  return found;
}
