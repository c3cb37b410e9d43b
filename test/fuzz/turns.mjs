/**
 * Loaded into the gateway's process (node --import): measures how much CPU a turn of its event loop takes. A timer of a
 * millisecond runs at least once in each turn that is longer, so between two of its runs lies one long turn, or several
 * short ones of about a millisecond together. SIGUSR2 writes down the longest since the signal before.
 */
import { writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const file = process.env.TURNS_FILE;
if (isMainThread && file) {
  const cpuMs = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let beforeMs = cpuMs();
  let longestMs = 0;
  setInterval(() => {
    const nowMs = cpuMs();
    longestMs = Math.max(longestMs, nowMs - beforeMs);
    beforeMs = nowMs;
  }, 1).unref();
  process.on('SIGUSR2', () => {
    writeFileSync(file, String(longestMs));
    longestMs = 0;
    beforeMs = cpuMs();
  });
}
