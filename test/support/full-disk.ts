/** A disk that is full, for a file that is open already or for one that will be made. Linux only. */
import { closeSync, openSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs';

/** From now on every write to this open file fails with ENOSPC: its descriptor leads to /dev/full. */
export function fillDiskUnder(path: string): void {
  const file = readdirSync('/proc/self/fd').find((each) => linkOf(`/proc/self/fd/${each}`) === path);
  if (file === undefined) throw new Error(`${path} is not open`);
  closeSync(Number(file));
  // The system gives out the lowest number that is free; take them until it is the one just closed.
  const others: number[] = [];
  for (let next = open(); next !== Number(file); next = open()) others.push(next);
  for (const each of others) closeSync(each);
}

function open(): number {
  return openSync('/dev/full', 'w');
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** Whoever makes this file writes to a full disk. */
export function fillDiskAt(path: string): void {
  symlinkSync('/dev/full', path);
}
