/** Whose CPU time counts. */
import { expect, it } from 'vitest';
import { type ProcessStat, parseStat, treeOf } from '../../bench/tree.ts';

function running(pid: number, parentPid: number, command: string): ProcessStat {
  return { pid, parentPid, command, cpuUs: 0, endedChildrenCpuUs: 0 };
}

const pids = (processes: ProcessStat[]) => processes.map(({ pid }) => pid);

it('reads CPU times of a process whose name has blanks and parentheses', () => {
  const times = '100 50 30 20';
  expect(parseStat(`42 (a) S 1 (b)) S 7 1 1 0 -1 0 9 9 9 9 ${times} 20 0 11 0 1 1 1`)).toEqual({
    pid: 42,
    parentPid: 7,
    command: 'a) S 1 (b)',
    cpuUs: 1_500_000,
    endedChildrenCpuUs: 500_000,
  });
});

it('counts supervisor and workers as the gateway, and Postgres with its sessions as the database', () => {
  const processes = [
    running(30, 20, 'postgres'),
    running(1, 0, 'init'),
    running(10, 1, 'node'),
    running(11, 10, 'node'),
    running(12, 10, 'node'),
    running(20, 10, 'postgres'),
    running(31, 20, 'sh'),
    running(99, 1, 'postgres'),
    running(98, 1, 'node'),
  ];
  const { gateway, database } = treeOf(processes, 10);
  expect(pids(gateway)).toEqual([10, 11, 12]);
  expect(pids(database)).toEqual([20, 30, 31]);
});

it('is empty when the process is gone', () => {
  expect(treeOf([running(1, 0, 'init')], 10)).toEqual({ gateway: [], database: [] });
});
