/**
 * The clients of `npm run test:clients`, pinned, in a folder outside the repository that later runs use again: those of
 * npm, and those of Python in an environment of its own.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

const NPM_PACKAGES = [
  'openai@7.59.0',
  'ws@8.23.0',
  'zod@4.6.7',
  'ai@7.0.173',
  '@ai-sdk/openai@3.0.141',
  '@openai/agents@0.20.0',
  '@langchain/openai@1.6.0',
  '@langchain/core@1.4.0',
  '@openai/codex@0.171.0',
];
const PYTHON_PACKAGES = [
  'openai[realtime]==3.57.0',
  'openai-agents==0.24.0',
  'langchain-openai==1.7.4',
  'pydantic-ai-slim[openai]==2.68.0',
];
/** Imported through one module, which lies where each of them is found. */
const MODULES = {
  ai: 'ai',
  vercel: '@ai-sdk/openai',
  agents: '@openai/agents',
  langchain: '@langchain/openai',
  core: '@langchain/core/messages',
  tools: '@langchain/core/tools',
  zod: 'zod',
  openai: 'openai',
  responses: 'openai/resources/responses/ws',
  realtime: 'openai/realtime/ws',
};

export interface Installed {
  folder: string;
  /** The module that exports all others. */
  entry: string;
  /** The interpreter; null: there is none with these packages. */
  python: string | null;
  /** Why there is none. */
  pythonMissing: string | null;
}

declare module 'vitest' {
  interface ProvidedContext {
    clients: Installed;
  }
}

/** Installs what is missing. Throws when npm cannot; without Python, or its packages, its clients are skipped. */
export default function setup(project: TestProject): void {
  const pins = createHash('sha256')
    .update([...NPM_PACKAGES, ...PYTHON_PACKAGES, ...Object.values(MODULES)].join())
    .digest('hex');
  const root = process.env.TOLLGATE_CLIENTS_DIR ?? join(tmpdir(), 'tollgate-test-clients');
  const folder = join(root, pins.slice(0, 12));
  mkdirSync(folder, { recursive: true });
  project.provide('clients', { folder, entry: installNpm(folder), ...installPython(folder) });
}

function installNpm(folder: string): string {
  const home = join(folder, 'node_modules', 'tollgate-clients');
  const entry = join(home, 'index.mjs');
  if (existsSync(entry)) return entry;
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  const flags = ['--no-audit', '--no-fund', '--save-exact', '--ignore-scripts'];
  execFileSync('npm', ['install', ...flags, ...NPM_PACKAGES], { cwd: folder, stdio: 'inherit' });
  mkdirSync(home, { recursive: true });
  const lines = Object.entries(MODULES).map(([name, from]) => `export * as ${name} from '${from}';\n`);
  writeFileSync(entry, lines.join(''));
  return entry;
}

function installPython(folder: string): Pick<Installed, 'python' | 'pythonMissing'> {
  const home = join(folder, 'python');
  const python = join(home, 'bin', 'python');
  const done = join(home, 'installed');
  if (existsSync(done)) return { python, pythonMissing: null };
  try {
    execFileSync('python3', ['-m', 'venv', home], { stdio: 'pipe' });
    const flags = ['--quiet', '--disable-pip-version-check'];
    execFileSync(python, ['-m', 'pip', 'install', ...flags, ...PYTHON_PACKAGES], { stdio: 'pipe' });
    writeFileSync(done, '');
    return { python, pythonMissing: null };
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    const why = error instanceof Error ? error.message.slice(0, 500) : String(error);
    process.stderr.write(`\nThe clients in Python are SKIPPED: ${why}\n\n`);
    return { python: null, pythonMissing: why };
  }
}
