/** The key under which contents of calls are stored, by the settings. */
import { readFile } from 'node:fs/promises';
import { Sealer, sealingKey } from '../auth/seal.ts';
import type { Config } from '../config.ts';
import { ContentQueue } from '../domain/contents.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { CannotStart } from './open.ts';

/** What seals contents, and where they wait for it; both null: no key is set. @throws as below */
export async function openContents(
  config: Config,
  metrics: Metrics,
): Promise<{ sealer: Sealer | null; contents: ContentQueue | null }> {
  const sealer = await openSealer(config);
  const contents = sealer === null ? null : new ContentQueue((end) => metrics.recordContent(end));
  return { sealer, contents };
}

/** Null: no key is set. @throws CannotStart for a file that cannot be read, or that holds none */
async function openSealer({ encryptionKey, encryptionKeyFile: file }: Config): Promise<Sealer | null> {
  if (encryptionKey === null && file === null) return null;
  const text = encryptionKey ?? (await readKey(file ?? ''));
  const key = sealingKey(text);
  if (key === null)
    throw new CannotStart(`TOLLGATE_ENCRYPTION_KEY_FILE: the file must hold 32 bytes in hex or base64`);
  return new Sealer(key);
}

async function readKey(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CannotStart(`TOLLGATE_ENCRYPTION_KEY_FILE: the file cannot be read (${code})`, {
      cause: error,
    });
  }
}
