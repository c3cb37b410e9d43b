/**
 * Builds the console: `npm run build:console` writes src/console/dist, which is committed, so that neither a fresh
 * clone nor production needs a bundler. A test holds the folder equal to what this makes of the sources.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';

const SOURCE = import.meta.dirname;
const DIST = join(SOURCE, 'dist');
const STATIC = { 'index.html': 'index.html', 'assets/icon.svg': 'icon.svg' };

/** Returns the files of the built console by their path in dist; writes nothing. */
export async function buildConsole(): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    entryPoints: [
      { in: join(SOURCE, 'main.tsx'), out: 'console' },
      { in: join(SOURCE, 'style/console.css'), out: 'console' },
    ],
    tsconfig: join(SOURCE, 'tsconfig.json'),
    bundle: true,
    // What pages/later.ts alone needs is a file of its own, and what it shares with the rest another.
    splitting: true,
    chunkNames: '[name]',
    minify: true,
    format: 'esm',
    target: ['es2022', 'chrome111', 'firefox114', 'safari16.4'],
    charset: 'utf8',
    legalComments: 'none',
    outdir: join(DIST, 'assets'),
    write: false,
    logLevel: 'warning',
  });
  const files = outputFiles.map(({ path, text }) => [relative(DIST, path), text] as const);
  const copies = Object.entries(STATIC).map(
    async ([path, source]) => [path, await readFile(join(SOURCE, source), 'utf8')] as const,
  );
  return new Map([...files, ...(await Promise.all(copies))]);
}

if (import.meta.main) {
  for (const [path, text] of await buildConsole()) {
    const file = join(DIST, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    process.stdout.write(`src/console/dist/${path}  ${Math.round(Buffer.byteLength(text) / 1000)} kB\n`);
  }
}
