/** How large V8's heap may be, which V8 must know before it makes it (docs/OPERATIONS.md, Memory). */
import { availableParallelism, totalmem } from 'node:os';

const MB = 2 ** 20;
/** The program itself, what sockets hold, and the rest outside of the heap. */
const REST_MB = 150;
const OLD_SPACE_MB_MIN = 256;
/** Threads that read large bodies, and what each may take: as in src/main/start.ts. */
const THREADS = 2;
const THREAD_MB = 256;
const THREAD_PER_BODY_BYTE = 6;

/**
 * V8 gives a process on a large machine a young generation of up to 128 MB, which one that makes much garbage soon fills. A
 * fourth of that costs no more CPU (measured) and saves 100 MB.
 */
const SIZE_FLAG = '--max-semi-space-size=16';

/**
 * V8 makes objects in the old generation at once whose like once outlived collections of the young one. In the small heap of a
 * start those of calls under way do. Later they are garbage there, which keeps all that it refers to alive until the whole heap
 * is marked: a call left 1.7 kB more behind (docs/BENCH.md).
 */
const PLACE_FLAG = '--no-allocation-site-pretenuring';

/**
 * The heap may grow to twice of what a collection left. By itself V8 lets a small heap that grows slowly grow by 8 MB and the young
 * generation, and begins to mark as soon as no more than that may still come: at once. It marked the whole heap twice a second, with
 * pauses of 10 ms (docs/PROOF.md, Neighbours).
 */
const GROWTH_FLAG = '--heap-growing-percent=100';

const HEAP_FLAGS = [SIZE_FLAG, PLACE_FLAG, GROWTH_FLAG];

/**
 * An estimate streams files of any length and keeps little: V8 would let garbage grow to twice as much before it looks. The old
 * generation has room for the tokeniser (40 MB) and the longest line that is read, in both of its forms.
 */
export const ESTIMATE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=80'];

/**
 * @param {Record<string, string | undefined>} env
 * @param {number} constrainedBytes what the system lets the process have; beyond the machine's own memory: it says nothing
 * @returns {string[]} flags for Node; the old generation keeps V8's default where no limit of memory is known
 */
export function heapFlags(env, constrainedBytes = process.constrainedMemory?.() ?? 0) {
  const limit = Number(env.TOLLGATE_MEMORY_BYTES) || (constrainedBytes < totalmem() ? constrainedBytes : 0);
  if (limit <= 0) return HEAP_FLAGS;
  const workers =
    env.TOLLGATE_WORKERS === 'auto' ? availableParallelism() : Number(env.TOLLGATE_WORKERS) || 1;
  const bodies = Number(env.TOLLGATE_BODY_MEMORY_BYTES) || 256 * MB;
  const body = Number(env.TOLLGATE_MAX_BODY_BYTES) || 20 * MB;
  const threadsMb = THREADS * (THREAD_MB + (THREAD_PER_BODY_BYTE * body) / MB);
  const left = Math.floor((limit - bodies) / workers / MB - threadsMb - REST_MB);
  return [...HEAP_FLAGS, `--max-old-space-size=${Math.max(left, OLD_SPACE_MB_MIN)}`];
}
