/**
 * CPU time and memory of a gateway's processes and, apart from them, of the database that they started, from `/proc`
 * (proc(5)), so Linux only. A gateway may be several processes: a supervisor, workers, another Node that a first one
 * started. All of them count as the gateway; a process named `postgres` and what it started count as the database.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** One USER_HZ, the unit of CPU time in `stat`: 100 a second on every Linux that Node runs on. */
const TICK_US = 10_000;
const DATABASE_COMMAND = 'postgres';

export interface ProcessStat {
  pid: number;
  parentPid: number;
  command: string;
  /** User + system, all threads, also those that ended; in steps of 10 ms. */
  cpuUs: number;
  /** The same of its children that ended and were waited for. */
  endedChildrenCpuUs: number;
}

/** Returns one `/proc/PID/stat` as an object. */
export function parseStat(text: string): ProcessStat {
  // The second field is the command in parentheses and may hold blanks and parentheses: field 3 starts behind the last one.
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const fields = text.slice(close + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]);
  return {
    pid: Number.parseInt(text, 10),
    parentPid: field(4),
    command: text.slice(open + 1, close),
    cpuUs: (field(14) + field(15)) * TICK_US,
    endedChildrenCpuUs: (field(16) + field(17)) * TICK_US,
  };
}

export interface Tree {
  gateway: ProcessStat[];
  database: ProcessStat[];
}

/** Returns the process with `rootPid` and all that descend from it, the database's apart. Pure. */
export function treeOf(processes: readonly ProcessStat[], rootPid: number): Tree {
  const byParent = Map.groupBy(processes, ({ parentPid }) => parentPid);
  const tree: Tree = { gateway: [], database: [] };
  const add = (process: ProcessStat, isDatabase: boolean): void => {
    const belongs = isDatabase || process.command === DATABASE_COMMAND;
    (belongs ? tree.database : tree.gateway).push(process);
    for (const child of byParent.get(process.pid) ?? []) add(child, belongs);
  };
  for (const process of processes) if (process.pid === rootPid) add(process, false);
  return tree;
}

function readProcesses(): ProcessStat[] {
  const processes: ProcessStat[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      processes.push(parseStat(readFileSync(`/proc/${name}/stat`, 'utf8')));
    } catch {
      // It ended between the listing and the reading; its parent's count of ended children has it.
    }
  }
  return processes;
}

/**
 * CPU of a process's threads in microseconds, from the scheduler's nanoseconds. Threads that ended are missing there, and
 * kernels without these numbers have none: `stat` knows all of it, to 10 ms.
 */
function cpuUsOf({ pid, cpuUs }: ProcessStat): number {
  let nanoseconds = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number.parseInt(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'), 10);
    }
  } catch {
    return cpuUs;
  }
  return Math.max(nanoseconds / 1_000, cpuUs);
}

export interface CpuReading {
  /** User + system of the gateway's processes and of children of theirs that ended. */
  gatewayUs: number;
  databaseUs: number;
}

function sumUs(processes: readonly ProcessStat[]): number {
  return processes.reduce((sum, process) => sum + cpuUsOf(process) + process.endedChildrenCpuUs, 0);
}

/** Returns the CPU time so far. Throws when there is no such process. */
export function readCpu(rootPid: number): CpuReading {
  const { gateway, database } = treeOf(readProcesses(), rootPid);
  if (gateway.length === 0) throw new Error(`there is no process ${rootPid}`);
  return { gatewayUs: sumUs(gateway), databaseUs: sumUs(database) };
}

export function cpuBetween(before: CpuReading, after: CpuReading): CpuReading {
  return {
    gatewayUs: after.gatewayUs - before.gatewayUs,
    databaseUs: after.databaseUs - before.databaseUs,
  };
}

/** Returns the pids of the gateway's processes, the root first. */
export function gatewayPids(rootPid: number): number[] {
  return treeOf(readProcesses(), rootPid).gateway.map(({ pid }) => pid);
}

/**
 * Returns the resident memory of processes in bytes. What they share counts once for each. Processes that ended count
 * nothing.
 */
export function readRssBytes(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      kilobytes += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
    } catch {
      // It ended.
    }
  }
  return kilobytes * 1_024;
}
