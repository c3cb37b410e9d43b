/** A thread that reads how long audio is, one file after the other (audio.ts). */
import { parentPort } from 'node:worker_threads';
import { parseBuffer } from 'music-metadata';
import { lowerPriority } from '../planner/low-priority.ts';
import type { AudioJob, AudioReply } from './audio.ts';

lowerPriority();

/** Returns the length in seconds, by the file's own header and frames; null: it cannot be read. */
async function secondsOf(bytes: Uint8Array): Promise<Omit<AudioReply, 'body'>> {
  try {
    const { format } = await parseBuffer(bytes, undefined, {
      duration: true,
      skipCovers: true,
      skipPostHeaders: true,
    });
    const {
      duration,
      sampleRate = 0,
      bitsPerSample = 0,
      numberOfChannels = 0,
      lossless = false,
      container,
    } = format;
    const seconds =
      typeof duration === 'number' && Number.isFinite(duration) && duration > 0 ? duration : null;
    const rawBytesPerSecond = (sampleRate * numberOfChannels * Math.max(bitsPerSample, 16)) / 8;
    return { seconds, rawBytesPerSecond: lossless ? rawBytesPerSecond : 0, container: container ?? '' };
  } catch {
    // Whatever its parser stumbles over: the file is no audio that it knows.
    return { seconds: null, rawBytesPerSecond: 0, container: '' };
  }
}

parentPort?.on('message', async ({ body, start, end }: AudioJob) => {
  const found = await secondsOf(new Uint8Array(body, start, end - start));
  parentPort?.postMessage({ ...found, body } satisfies AudioReply, [body]);
});
