import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export interface Writer {
  process: ChildProcess;
  /** The highest number said so far: 0 before the first. */
  acknowledged: number;
  /** Until the database accepted the first session. */
  started: Promise<void>;
  /** Until it has said at least this number. */
  reached(number: number): Promise<void>;
  exited: Promise<unknown>;
}

/** Runs embedded-writer.ts on a data folder, in a process group of its own, until the test ends. */
export function spawnWriter(dataDir: string): Writer {
  const script = fileURLToPath(new URL('embedded-writer.ts', import.meta.url));
  const child = spawn(process.execPath, [script, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const lines = createInterface({ input: child.stdout! });
  const writer: Writer = {
    process: child,
    acknowledged: 0,
    started: once(lines, 'line').then(() => {}),
    async reached(number) {
      while (writer.acknowledged < number) await once(lines, 'line');
    },
    exited: Promise.all([once(child, 'exit'), once(lines, 'close')]),
  };
  lines.on('line', (line) => {
    if (line !== 'started') writer.acknowledged = Number(line);
  });
  return writer;
}
