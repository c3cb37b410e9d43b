import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** An empty folder that goes when the test ends; outside of a test pass `afterAll`. */
export async function temporaryFolder(atTheEnd: (clean: () => Promise<void>) => void = onTestFinished) {
  const folder = await mkdtemp(join(tmpdir(), 'tollgate-test-'));
  // A process that still ends may write into it meanwhile.
  atTheEnd(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  return folder;
}
