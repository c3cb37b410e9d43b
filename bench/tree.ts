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

/** The CPU time of one process at one moment. */
export interface ProcessCpu extends ProcessStat {
  /** By thread, in nanoseconds of the scheduler; empty on kernels that do not count them. */
  threads: ReadonlyMap<string, number>;
}

/** All processes of a gateway, and of its database, at one moment. */
export interface CpuSnapshot {
  gateway: readonly ProcessCpu[];
  database: readonly ProcessCpu[];
}

export interface CpuUse {
  /** User + system of the gateway's processes, also of those that ended meanwhile. */
  gatewayUs: number;
  databaseUs: number;
}

function withThreads(process: ProcessStat): ProcessCpu {
  const threads = new Map<string, number>();
  const folder = `/proc/${process.pid}/task`;
  try {
    for (const thread of readdirSync(folder)) {
      threads.set(thread, Number.parseInt(readFileSync(`${folder}/${thread}/schedstat`, 'utf8'), 10));
    }
  } catch {
    // It ended, a thread of it did, or the kernel does not count: `stat` knows all of it, to 10 ms.
    threads.clear();
  }
  return { ...process, threads };
}

/** Throws when there is no such process. */
export function readCpu(rootPid: number): CpuSnapshot {
  const { gateway, database } = treeOf(readProcesses(), rootPid);
  if (gateway.length === 0) throw new Error(`there is no process ${rootPid}`);
  return { gateway: gateway.map(withThreads), database: database.map(withThreads) };
}

/** Returns the CPU time of processes since each of them started, and of children of theirs that ended. */
export function totalUs(processes: readonly ProcessStat[]): number {
  return processes.reduce((sum, { cpuUs, endedChildrenCpuUs }) => sum + cpuUs + endedChildrenCpuUs, 0);
}

/**
 * Returns the CPU time of a process between two moments: by its threads, to the nanosecond, as long as none of them ended
 * meanwhile; else by what the process counted, in steps of 10 ms.
 */
function ownUs(before: ProcessCpu, after: ProcessCpu): number {
  const known =
    before.threads.size > 0 && [...before.threads.keys()].every((thread) => after.threads.has(thread));
  if (!known) return after.cpuUs - before.cpuUs;
  let nanoseconds = 0;
  for (const [thread, ns] of after.threads) nanoseconds += ns - (before.threads.get(thread) ?? 0);
  return nanoseconds / 1_000;
}

function usBetween(before: readonly ProcessCpu[], after: readonly ProcessCpu[]): number {
  const earlier = new Map(before.map((process) => [process.pid, process]));
  let sumUs = 0;
  for (const process of after) {
    const known = earlier.get(process.pid);
    earlier.delete(process.pid);
    sumUs += known
      ? ownUs(known, process) + process.endedChildrenCpuUs - known.endedChildrenCpuUs
      : totalUs([process]);
  }
  // Those left ended: all of their time is now among that of their parent's children.
  return sumUs - totalUs([...earlier.values()]);
}

export function cpuBetween(before: CpuSnapshot, after: CpuSnapshot): CpuUse {
  return {
    gatewayUs: usBetween(before.gateway, after.gateway),
    databaseUs: usBetween(before.database, after.database),
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
