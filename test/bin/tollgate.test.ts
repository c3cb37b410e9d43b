/** The launcher, in a folder of its own: the real file, the real pinned Node, and a main.ts that says what reaches it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Makes this Node behave as one that is too old: it cannot run TypeScript. */
const OLD = '--no-experimental-strip-types';

const MAIN = `
export async function run(argv: string[]): Promise<void> {
  if (argv[0] === 'fail') process.exit(7);
  if (argv[0] === 'throw') throw new Error('told by main');
  if (argv[0] === 'serve' && argv.length === 1) {
    const alive = setInterval(() => {}, 1000);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        console.log(signal);
        clearInterval(alive);
        process.exitCode = 3;
      });
    }
  }
  if (argv[1] === '--process') {
    console.log(JSON.stringify({ pid: process.pid, flags: process.execArgv }));
    process.exit();
  }
  console.log(JSON.stringify(argv));
}
`;

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function install(dependencies: boolean): string {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-bin-'));
  folders.push(folder);
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'src/main.ts'), MAIN);
  cpSync(join(ROOT, 'bin'), join(folder, 'bin'), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
  if (dependencies) symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

const installed = install(true);

/** A started launcher. `closed` comes when every holder of that stdout has ended. */
function start(nodeArguments: string[], argv: string[], folder = installed) {
  const path = join(folder, 'bin/tollgate.mjs');
  const child = spawn(process.execPath, [...nodeArguments, path, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, 'cache') },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  return { child, output, started: once(child.stdout, 'data'), closed: once(child, 'close') };
}

async function finish({ child, output, closed }: ReturnType<typeof start>) {
  await closed;
  return { ...output, code: child.exitCode };
}

describe.each([
  ['on a Node that runs TypeScript', [] as string[]],
  ['on a Node that is too old', [OLD]],
])('tollgate %s', (_, node) => {
  it('hands its arguments to main', async () => {
    const { stdout, code } = await finish(start(node, ['migrate', 'a b', '--c']));
    expect(JSON.parse(stdout)).toEqual(['migrate', 'a b', '--c']);
    expect(code).toBe(0);
  });

  it('ends with the exit code of main', async () => {
    expect((await finish(start(node, ['fail']))).code).toBe(7);
  });

  it('tells an error of main once and ends with 1', async () => {
    const { stderr, code } = await finish(start(node, ['throw']));
    expect(stderr.match(/told by main/g)).toHaveLength(1);
    expect(code).toBe(1);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('passes %s on, and waits for the end', async (signal) => {
    const gateway = start(node, ['serve']);
    await gateway.started;
    gateway.child.kill(signal);
    const { stdout, code } = await finish(gateway);
    expect(stdout).toBe(`["serve"]\n${signal}\n`);
    expect(code).toBe(3);
  });
});

describe('tollgate on a Node that runs TypeScript', () => {
  it('serves in its own process, with a heap of the right size and the flags it was given', async () => {
    const gateway = start(['--trace-uncaught'], ['serve', '--process']);
    const { stdout } = await finish(gateway);
    const { pid, flags } = JSON.parse(stdout) as { pid: number; flags: string[] };
    expect(pid).toBe(gateway.child.pid);
    expect(flags).toEqual([
      '--trace-uncaught',
      '--max-semi-space-size=16',
      '--no-allocation-site-pretenuring',
      '--heap-growing-percent=100',
    ]);
  });

  it('leaves the size of the heap to who sets it', async () => {
    const { stdout } = await finish(start(['--max-semi-space-size=64'], ['serve', '--process']));
    expect(JSON.parse(stdout)).toMatchObject({ flags: ['--max-semi-space-size=64'] });
  });

  it('names lines of the source in an error, also when the code comes from the cache', async () => {
    for (let run = 0; run < 2; run++) {
      const { stderr } = await finish(start([], ['throw']));
      expect(stderr).toMatch(/src\/main\.ts:4:\d+/);
    }
  });
});

describe('tollgate on a Node that is too old', () => {
  it('leaves no gateway behind when it is killed', async () => {
    const launcher = start([OLD], ['serve']);
    await launcher.started;
    launcher.child.kill('SIGKILL');
    expect((await finish(launcher)).stdout).toBe('["serve"]\nSIGTERM\n');
  });

  it('says what to do when no other Node is installed', async () => {
    const { stderr, code } = await finish(start([OLD], ['serve'], install(false)));
    expect(stderr).toMatch(/^tollgate: Tollgate needs Node 24 or newer; .* Run 'npm install'/);
    expect(code).toBe(1);
  });
});

it('tollgate stops when npm, told to stop, has left it without a parent', async () => {
  const path = join(installed, 'bin/tollgate.mjs');
  // What npm does: a shell in between, which dies of the signal and passes nothing on.
  const shell = spawn('sh', ['-c', `${process.execPath} ${path} serve; exit`], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, npm_lifecycle_event: 'start' },
  });
  let stdout = '';
  shell.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  const closed = once(shell.stdout, 'close');
  await once(shell.stdout, 'data');
  shell.kill('SIGTERM');
  await closed;
  expect(stdout).toContain('SIGTERM');
});
