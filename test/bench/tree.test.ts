/** Whose CPU time counts. */
import { describe, expect, it } from 'vitest';
import { cpuBetween, type ProcessCpu, type ProcessStat, parseStat, treeOf } from '../../bench/tree.ts';

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

describe('CPU time between two moments', () => {
  const process = (pid: number, cpuMs: number, threads: Record<string, number>, endedMs = 0): ProcessCpu => ({
    ...running(pid, 1, 'node'),
    cpuUs: cpuMs * 1_000,
    endedChildrenCpuUs: endedMs * 1_000,
    threads: new Map(Object.entries(threads).map(([thread, ms]) => [thread, ms * 1e6])),
  });
  const usedMs = (before: ProcessCpu[], after: ProcessCpu[]) => {
    const use = cpuBetween({ gateway: before, database: [] }, { gateway: after, database: [] });
    return use.gatewayUs / 1_000;
  };

  it('is exact by threads, though some ended before, and counts a new thread whole', () => {
    const before = [process(10, 500, { a: 100.25, b: 10 })];
    const after = [process(10, 520, { a: 107.5, b: 10, c: 2 })];
    expect(usedMs(before, after)).toBe(9.25);
  });

  it('is what the process counted when a thread ended meanwhile, or threads are not counted', () => {
    const after = [process(10, 520, { a: 107.5 })];
    expect(usedMs([process(10, 500, { a: 100.25, b: 10 })], after)).toBe(20);
    expect(usedMs([process(10, 500, {})], [process(10, 530, {})])).toBe(30);
  });

  it('counts a new process whole, and one that ended by what it used meanwhile', () => {
    const before = [process(10, 500, { a: 1 }), process(11, 70, { x: 70 })];
    const after = [process(10, 500, { a: 1 }, 90), process(12, 40, { y: 40 })];
    expect(usedMs(before, after)).toBe(90 - 70 + 40);
  });

  it('keeps the database apart', () => {
    const [early, late] = [process(20, 10, { a: 10 }), process(20, 20, { a: 15 })];
    const use = cpuBetween({ gateway: [], database: [early] }, { gateway: [], database: [late] });
    expect(use).toEqual({ gatewayUs: 0, databaseUs: 5_000 });
  });
});
