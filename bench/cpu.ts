/** CPU time of other processes, from `/proc/<pid>/stat` (proc(5)), so Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

/** One USER_HZ, the unit of CPU time in `stat`: 100 a second on every Linux that Node runs on. */
const TICK_US = 10_000;

interface ProcessStat {
  parentPid: number;
  /** User + system, all threads, including those that ended. */
  cpuUs: number;
  /** The same of its children that ended. */
  endedChildrenCpuUs: number;
}

function readStat(pid: number | string): ProcessStat {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the command in parentheses and may hold blanks: count from behind it, where field 3 starts.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]);
  return {
    parentPid: field(4),
    cpuUs: (field(14) + field(15)) * TICK_US,
    endedChildrenCpuUs: (field(16) + field(17)) * TICK_US,
  };
}

/** User + system CPU of one process in microseconds, in steps of 10 ms. Throws when there is no such process. */
export function readCpuUs(pid: number): number {
  return readStat(pid).cpuUs;
}

/** The same of all that the process started, and what those started: Tollgate's embedded Postgres. */
export function readDescendantsCpuUs(pid: number): number {
  const stats = new Map<number, ProcessStat>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      stats.set(Number(name), readStat(name));
    } catch {
      // It ended between the listing and the reading; its parent's count of ended children has it.
    }
  }
  const descends = (stat: ProcessStat): boolean => {
    if (stat.parentPid === pid) return true;
    const parent = stats.get(stat.parentPid);
    return parent !== undefined && descends(parent);
  };
  let sumUs = 0;
  for (const stat of stats.values()) if (descends(stat)) sumUs += stat.cpuUs + stat.endedChildrenCpuUs;
  return sumUs;
}
