/**
 * Loaded into the gateway's process (node --import): measures how much CPU a turn of its event loop takes. A timer of a
 * millisecond runs at least once in each turn that is longer, so between two of its runs lies one long turn, or several
 * short ones of about a millisecond together. SIGUSR2 writes down those of more than some milliseconds since the signal before.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const NOTED_MS = 5;

const file = process.env.TURNS_FILE;
if (isMainThread && file) {
  const cpuMs = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let beforeMs = cpuMs();
  let beganMs = Date.now();
  let turns = [];
  setInterval(() => {
    const nowMs = cpuMs();
    const endedMs = Date.now();
    if (nowMs - beforeMs > NOTED_MS) turns.push({ cpuMs: nowMs - beforeMs, beganMs, endedMs });
    beforeMs = nowMs;
    beganMs = endedMs;
  }, 1).unref();
  process.on('SIGUSR2', () => {
    writeFileSync(`${file}.new`, JSON.stringify(turns));
    renameSync(`${file}.new`, file);
    turns = [];
    beforeMs = cpuMs();
    beganMs = Date.now();
  });
}
