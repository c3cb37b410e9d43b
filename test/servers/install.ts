/**
 * Installs the servers and makes their model, in a folder outside the repository that later runs use again. A server that
 * cannot be had here is skipped, and says why. TOLLGATE_SERVERS names the ones that are wanted, with commas; default: all.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { installPython } from './kind.ts';
import { KINDS } from './kinds.ts';

const ROOT = process.env.TOLLGATE_SERVERS_DIR ?? join(tmpdir(), 'tollgate-test-servers');
const MODEL_PINS = ['gguf==0.19.0', 'safetensors==0.8.0', 'numpy==2.4.6'];
const MODEL_SCRIPT = fileURLToPath(new URL('model.py', import.meta.url));

export interface Installed {
  home: string;
  /** Why it is not there; null: it is. */
  missing: string | null;
}

declare module 'vitest' {
  interface ProvidedContext {
    /** By the server's name. */
    servers: Record<string, Installed>;
    /** The folder of the model. */
    model: string;
  }
}

/** For a run of tests: installs what is not there, and hands it to them. */
export default function setup(project: TestProject): void {
  const { model, servers } = install();
  project.provide('model', model);
  project.provide('servers', servers);
}

/** @throws when the model cannot be made */
export function install(): { model: string; servers: Record<string, Installed> } {
  const maker = installed('model', MODEL_PINS, (home) => installPython(home, MODEL_PINS));
  if (maker.missing !== null) throw new Error(`the model cannot be made: ${maker.missing}`);
  const script = readFileSync(MODEL_SCRIPT);
  const model = join(maker.home, createHash('sha256').update(script).digest('hex').slice(0, 12));
  execFileSync(join(maker.home, 'bin/python'), [MODEL_SCRIPT, model], { stdio: 'pipe' });

  const wanted = process.env.TOLLGATE_SERVERS?.split(',') ?? KINDS.map(({ name }) => name);
  const servers: Record<string, Installed> = {};
  for (const { name, pins, install } of KINDS) {
    if (wanted.includes(name)) servers[name] = installed(name, pins, install);
    else servers[name] = { home: '', missing: 'TOLLGATE_SERVERS does not name it' };
    const { missing } = servers[name];
    if (missing !== null && wanted.includes(name))
      process.stderr.write(`\n*** ${name} is SKIPPED: ${missing}\n\n`);
  }
  return { model, servers };
}

function installed(name: string, pins: readonly string[], install: (home: string) => void): Installed {
  const home = join(ROOT, `${name}-${createHash('sha256').update(pins.join()).digest('hex').slice(0, 8)}`);
  const done = join(home, 'installed');
  if (existsSync(done)) return { home, missing: null };
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  try {
    process.stderr.write(`installing ${pins.join(', ')} …\n`);
    install(home);
    writeFileSync(done, '');
    return { home, missing: null };
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    return { home, missing: error instanceof Error ? error.message.slice(-500) : String(error) };
  }
}
