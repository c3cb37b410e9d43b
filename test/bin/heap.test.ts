import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { describe, expect, it } from 'vitest';

const { heapFlags }: { heapFlags(env: Record<string, string>, constrainedBytes?: number): string[] } =
  await import(new URL('../../bin/heap.mjs', import.meta.url).href);

const HEAP_FLAGS = [
  '--max-semi-space-size=16',
  '--no-allocation-site-pretenuring',
  '--heap-growing-percent=100',
];
const GB = 2 ** 30;
const oldSpaceMb = (env: Record<string, string>, constrainedBytes?: number) =>
  Number(
    /^--max-old-space-size=(\d+)$/.exec(heapFlags(env, constrainedBytes).at(-1) ?? '')?.[1] ?? Number.NaN,
  );

describe('the heap', () => {
  it('is what is left of the container’s limit, after bodies, threads and the rest', () => {
    expect(oldSpaceMb({}, 2 * GB)).toBe(2048 - 256 - 2 * (256 + 6 * 20) - 150);
    expect(oldSpaceMb({}, 4 * GB)).toBe(oldSpaceMb({}, 2 * GB) + 2048);
  });

  it('follows the setting before the container', () => {
    expect(oldSpaceMb({ TOLLGATE_MEMORY_BYTES: String(3 * GB) }, 2 * GB)).toBe(oldSpaceMb({}, 3 * GB));
  });

  it('is shared among workers', () => {
    expect(oldSpaceMb({ TOLLGATE_WORKERS: '4' }, 8 * GB)).toBe(
      Math.floor(2048 - 64 - 2 * (256 + 6 * 20) - 150),
    );
  });

  it('leaves room for smaller and larger bodies', () => {
    const small = {
      TOLLGATE_MAX_BODY_BYTES: String(5 * 2 ** 20),
      TOLLGATE_BODY_MEMORY_BYTES: String(64 * 2 ** 20),
    };
    expect(oldSpaceMb(small, 1.1 * GB)).toBeGreaterThan(300);
  });

  it('is never too small to start, and V8’s own where no limit is known', () => {
    expect(oldSpaceMb({}, GB / 4)).toBe(256);
    expect(heapFlags({}, 0)).toEqual(HEAP_FLAGS);
    expect(heapFlags({}, totalmem())).toEqual(HEAP_FLAGS);
  });

  it('is that of the process which fills the image’s cache: compiled code is for the very same flags', () => {
    const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');
    expect(dockerfile).toContain(`RUN node ${HEAP_FLAGS.join(' ')} bin/fill-cache.mjs\n`);
  });

  it('is what the process then has', () => {
    const script = 'process.stdout.write(String(v8.getHeapStatistics().heap_size_limit))';
    const flags = heapFlags({}, 2 * GB);
    const { stdout } = spawnSync(process.execPath, [...flags, '-p', `${script};''`], { encoding: 'utf8' });
    const limitMb = Number(stdout) / 2 ** 20;
    expect(limitMb).toBeGreaterThanOrEqual(oldSpaceMb({}, 2 * GB));
    expect(limitMb).toBeLessThan(oldSpaceMb({}, 2 * GB) + 100);
  });
});
