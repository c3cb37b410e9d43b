/**
 * `npm run bench -- --training`: how fast `tollgate estimate fine-tune` counts a large file beside gpt-tokenizer alone on the same
 * lines, and in how much memory. Owns: the file that it generates. Both are processes of their own, one after the other; the
 * measure is their CPU time, because the machine has other work.
 */
import { once } from 'node:events';
import { createWriteStream, readFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { start } from '../processes.ts';

const COMMAND = fileURLToPath(new URL('../../bin/tollgate.mjs', import.meta.url));
const ALONE = fileURLToPath(new URL('alone.ts', import.meta.url));
const SPEED_GOAL = 0.6;
const MEMORY_GOAL_MB = 150;
const SAMPLE_EVERY_MS = 20;

const ENGLISH =
  'the model reads every example as often as you say and learns what the assistant would have written, not what the user asked'.split(
    ' ',
  );
const CHINESE =
  '我们可以使用这个模型来训练数据并且得到更好的结果因为中文文本每个字都有不同的编码长度所以需要仔细计算费用';

/** Mulberry32: the same file in every run, without repeating itself within one. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function textOf(random: (below: number) => number, isChinese: boolean): string {
  const parts: string[] = [];
  for (let words = 40 + random(200); words > 0; words--) {
    if (isChinese) parts.push(CHINESE[random(CHINESE.length)] ?? '', random(12) === 0 ? '，' : '');
    else parts.push(ENGLISH[random(ENGLISH.length)] ?? '', random(30) === 0 ? String(random(100_000)) : '');
  }
  return parts.join(isChinese ? '' : ' ');
}

async function generate(path: string, bytes: number): Promise<void> {
  const random = randomOf(1);
  const file = createWriteStream(path);
  for (let written = 0; written < bytes; ) {
    let text = '';
    for (let line = 0; line < 200; line++) {
      const isChinese = random(4) === 0;
      const messages = [
        { role: 'system', content: 'You are a helpful assistant.' },
        { role: 'user', content: textOf(random, isChinese) },
        { role: 'assistant', content: textOf(random, isChinese) },
      ];
      text += `${JSON.stringify({ messages })}\n`;
    }
    written += Buffer.byteLength(text);
    if (!file.write(text)) await once(file, 'drain');
  }
  await finished(file.end());
}

interface Measured {
  cpuSeconds: number;
  seconds: number;
  peakMb: number;
}

/** Runs Node on a script to its end; the last sample before it is what it took. */
async function measure(logFile: string, script: string, args: string[]): Promise<Measured> {
  const startedMs = performance.now();
  const child = start({ nodeArguments: [script, ...args], logFile });
  const measured: Measured = { cpuSeconds: 0, seconds: 0, peakMb: 0 };
  const sample = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      const peak = Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
      // A process that starts itself anew begins to count again.
      measured.peakMb = Math.max(measured.peakMb, peak);
      const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
      const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      measured.cpuSeconds = (Number(ticks[11]) + Number(ticks[12])) / TICKS_PER_SECOND;
    } catch {
      // It has ended.
    }
  }, SAMPLE_EVERY_MS);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearInterval(sample);
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return { ...measured, seconds: (performance.now() - startedMs) / 1000 };
}

/** Of /proc on Linux, whatever the kernel's own clock. */
const TICKS_PER_SECOND = 100;

/** Returns whether both goals were met. */
export async function benchTraining(
  dir: string,
  megabytes: number,
  progress: (text: string) => void,
): Promise<boolean> {
  const path = `${dir}/training.jsonl`;
  progress(`writing ${megabytes} MB of training examples`);
  await generate(path, megabytes * 1e6);
  progress('gpt-tokenizer alone');
  const alone = await measure(`${dir}/alone.log`, ALONE, [path]);
  progress('tollgate estimate fine-tune');
  const estimate = ['estimate', 'fine-tune', path, '--model', 'gpt-4o-mini'];
  const counted = await measure(`${dir}/estimate.log`, COMMAND, estimate);
  const speed = alone.cpuSeconds / counted.cpuSeconds;
  const row = (name: string, { cpuSeconds, seconds, peakMb }: Measured) =>
    `${name.padEnd(28)} ${(megabytes / cpuSeconds).toFixed(1).padStart(8)} MB/s of CPU ${cpuSeconds.toFixed(1).padStart(7)} s CPU ${seconds.toFixed(1).padStart(7)} s ${peakMb.toFixed(0).padStart(5)} MB at most`;
  console.log(row('gpt-tokenizer alone', alone));
  console.log(row('tollgate estimate fine-tune', counted));
  const isFast = speed >= SPEED_GOAL;
  const isSmall = counted.peakMb <= MEMORY_GOAL_MB;
  console.log(
    `${speed.toFixed(2)} × the speed of gpt-tokenizer alone (goal ${SPEED_GOAL}): ${isFast ? 'met' : 'MISSED'}`,
  );
  console.log(`${counted.peakMb.toFixed(0)} MB (goal ${MEMORY_GOAL_MB}): ${isSmall ? 'met' : 'MISSED'}`);
  return isFast && isSmall;
}
