/**
 * Loaded into a gateway before its own code: writes the longest turn of its event loop in each 200 ms to a file, by the
 * moment, in milliseconds of the CPU of that thread. A timer of a millisecond fires once a turn at most, so what the thread used between two of them is
 * never less than the longest turn, and more by what came beside it in that millisecond.
 */
import { appendFileSync } from 'node:fs';

const EVERY_MS = 1;
const WRITTEN_MS = 200;

const file = process.env.LONGEST_TURN_FILE;
if (file !== undefined) {
  let longestMs = 0;
  let before = process.threadCpuUsage();
  setInterval(() => {
    const now = process.threadCpuUsage();
    longestMs = Math.max(longestMs, (now.user + now.system - before.user - before.system) / 1000);
    before = now;
  }, EVERY_MS).unref();
  setInterval(() => {
    appendFileSync(file, `${Date.now()} ${longestMs}\n`);
    longestMs = 0;
  }, WRITTEN_MS).unref();
}
