/** How much clients may send, and where it is read: by the configuration. */
import type { Config } from '../config.ts';
import type { TeamId } from '../domain/ids.ts';
import { AudioThread } from '../gateway/audio.ts';
import { Bodies, FreeCalls } from '../gateway/bodies.ts';
import { FileCounts } from '../gateway/file-counts.ts';
import { ParseThreads } from '../gateway/parse-threads.ts';
import { Patience } from '../gateway/patience.ts';
import { SCAN_BOUNDS } from '../openai/scan.ts';
import { readSeed } from '../store/seed/read-seed.ts';

/** Threads that read large bodies; each takes memory only while it reads one, and some 20 MB besides. */
const PARSE_THREADS = 2;
const PARSE_QUEUE_MAX = 256;
/** A text beyond Latin-1 has two bytes a character, and its parsed strings have them again. */
const HEAP_PER_BODY_BYTE = 6;
const HEAP_OF_VALUES_MB = 256;

/** Opens what bodies go through; it closes with `back`. */
export function bodyLimits(config: Config, back: AsyncDisposableStack, onError: (error: unknown) => void) {
  const { maxBodyBytes, maxBodyValues, bodyMemoryBytes, clientStallMs, freeCallsPerMinute } = config;
  const heapMb = Math.ceil((HEAP_PER_BODY_BYTE * maxBodyBytes) / 2 ** 20) + HEAP_OF_VALUES_MB;
  const threads = new ParseThreads({ threads: PARSE_THREADS, queueMax: PARSE_QUEUE_MAX, heapMb });
  back.defer(() => threads.close());
  const audio = new AudioThread();
  back.defer(() => audio.close());
  const fileCounts = new FileCounts(readSeed().training, onError);
  back.defer(() => fileCounts.close());
  const totalBytes = Math.max(bodyMemoryBytes, 4 * maxBodyBytes);
  return {
    maxBodyBytes,
    bodies: new Bodies({ totalBytes, stallMs: clientStallMs }),
    threads,
    audio,
    fileCounts,
    freeCalls: new FreeCalls<TeamId>(freeCallsPerMinute, 'A team'),
    patience: new Patience(),
    uploadStallMs: clientStallMs,
    bodyBounds: {
      ...SCAN_BOUNDS,
      values: maxBodyValues,
      keepsNames: config.upstreamProfile === 'compatible' || config.configFile !== null,
    },
  };
}
