/** The key under which contents of calls are stored, by the settings. */
import { Sealer, sealingKey } from '../auth/seal.ts';
import { sealingKeyText } from '../config/readers.ts';
import type { Config } from '../config.ts';
import { ContentQueue } from '../domain/contents.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { readKeyFile } from './secrets.ts';

/** What seals contents, and where they wait for it; both null: no key is set. @throws as below */
export function openContents(
  config: Config,
  metrics: Metrics,
): { sealer: Sealer | null; contents: ContentQueue | null } {
  const sealer = openSealer(config);
  const contents = sealer === null ? null : new ContentQueue((end) => metrics.recordContent(end));
  return { sealer, contents };
}

/** Null: no key is set. @throws CannotStart for a file that cannot be read, or that holds none */
export function openSealer({ encryptionKey, encryptionKeyFile: file }: Config): Sealer | null {
  const text = encryptionKey ?? readKeyFile('TOLLGATE_ENCRYPTION_KEY_FILE', file, sealingKeyText(''));
  const key = text === null ? null : sealingKey(text);
  return key === null ? null : new Sealer(key);
}
