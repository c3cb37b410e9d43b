import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
import { expect, it, vi } from 'vitest';
import { LOW_PRIORITY } from '../../src/planner/low-priority.ts';

/** The nice values of all threads of this process: proc_pid_stat(5), field 19. */
function niceValues(): number[] {
  return readdirSync('/proc/self/task').map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

it.runIf(process.platform === 'linux')('is of one thread alone', async () => {
  const before = getPriority();
  const thread = new Worker(new URL('../../src/planner/count-thread.ts', import.meta.url));
  await vi.waitFor(() => expect(niceValues()).toContain(before + LOW_PRIORITY), 20_000);
  expect(getPriority()).toBe(before);
  await thread.terminate();
});
