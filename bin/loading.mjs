/**
 * How the gateway's modules are loaded. Owns: a cache of compiled code, so that a start neither strips types (50 MB for the
 * stripper, which stays) nor compiles what an earlier start compiled; and a short way through one package.
 * The cache is Node's own (module.enableCompileCache): an entry is used only for the very same text, flags and version of
 * Node, so a stale one cannot be run. It is filled by a process of its own, before the first start with this source.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import module, { registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FILL_TIMEOUT_MS = 60_000;

/**
 * Node (24.21) reads and parses a package's package.json anew for each of its modules, and that of drizzle-orm has 179 KB: a
 * third of the start's CPU and 45 MB. Where modules name each other by file and all are of one format, none is needed.
 */
const FORMATS = [
  { folder: new URL('../src/', import.meta.url).href, ending: '.ts', format: 'module-typescript' },
  ...['drizzle-orm', 'hono', 'zod'].map((name) => ({
    folder: `/node_modules/${name}/`,
    ending: '.js',
    format: 'module',
  })),
];

registerHooks({
  resolve(specifier, context, nextResolve) {
    const { parentURL, conditions } = context;
    if (specifier.startsWith('.') && parentURL && conditions.includes('import')) {
      const known = FORMATS.find(
        ({ folder, ending }) => parentURL.includes(folder) && specifier.endsWith(ending),
      );
      if (known) {
        return { url: new URL(specifier, parentURL).href, format: known.format, shortCircuit: true };
      }
    }
    return nextResolve(specifier, context);
  },
});

/** Uses the cache, filled if it is not; where none can be kept, modules are loaded as Node does by itself. */
export function useCache() {
  const dataDir = process.env.TOLLGATE_DATA_DIR || './data';
  const folders = [join(ROOT, 'node_modules/.cache/tollgate'), join(dataDir, 'cache')];
  const { FAILED, DISABLED } = module.constants.compileCacheStatus;
  for (const folder of folders) {
    const { status } = module.enableCompileCache(folder);
    if (status === DISABLED) return;
    if (status !== FAILED) break;
  }
  const directory = module.getCompileCacheDir();
  if (directory === undefined) return;
  const filled = join(directory, `tollgate-${sourceState()}.filled`);
  if (!existsSync(filled)) fill(filled);
}

/** Changes with every change of the source. */
function sourceState() {
  const hash = createHash('sha256');
  const folder = join(ROOT, 'src');
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const path = join(entry.parentPath, entry.name);
    const { mtimeMs, size } = statSync(path);
    hash.update(`${path} ${mtimeMs} ${size}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

/** In a process of its own, with our flags: what the stripper takes goes with it. */
function fill(filled) {
  const script = join(ROOT, 'bin/fill-cache.mjs');
  const { status } = spawnSync(process.execPath, [...process.execArgv, script], {
    env: { ...process.env, NODE_COMPILE_CACHE: join(filled, '../..') },
    stdio: 'ignore',
    timeout: FILL_TIMEOUT_MS,
  });
  if (status !== 0) return;
  try {
    writeFileSync(filled, '');
  } catch {
    // A folder that cannot be written may still be read: an image brings its cache.
  }
}
