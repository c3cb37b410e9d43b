/**
 * Loaded into a gateway before its own code: writes the longest turn of its event loop in each 200 ms to a file, by the
 * moment, in milliseconds of the CPU of that thread. A timer of a millisecond fires once a turn at most, so what the thread
 * used between two of them is never less than the longest turn, and more by what came beside it in that millisecond. A turn
 * that waited for a processor is noted apart: it serves all that came meanwhile.
 */
import { appendFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const EVERY_MS = 1;
const WRITTEN_MS = 200;
/** A turn that took so much longer than its CPU waited for a processor. */
const WAITED_MS = 10;

const file = process.env.LONGEST_TURN_FILE;
// Threads get it too: they read what may take longer.
if (isMainThread && file !== undefined) {
  let longestMs = 0;
  let longestLateMs = 0;
  let before = process.threadCpuUsage();
  let beganMs = performance.now();
  setInterval(() => {
    const now = process.threadCpuUsage();
    const cpuMs = (now.user + now.system - before.user - before.system) / 1000;
    const endedMs = performance.now();
    if (endedMs - beganMs - cpuMs < WAITED_MS) longestMs = Math.max(longestMs, cpuMs);
    else longestLateMs = Math.max(longestLateMs, cpuMs);
    before = now;
    beganMs = endedMs;
  }, EVERY_MS).unref();
  setInterval(() => {
    appendFileSync(file, `${Date.now()} ${longestMs} ${longestLateMs}\n`);
    longestMs = 0;
    longestLateMs = 0;
  }, WRITTEN_MS).unref();
}
