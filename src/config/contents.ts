/** Settings of what is stored encrypted. */
import { path, sealingKeyText } from './readers.ts';
import { setting } from './setting.ts';

export const CONTENTS = {
  encryptionKey: setting(
    'TOLLGATE_ENCRYPTION_KEY',
    null,
    'Key under which contents of calls are stored, where a team keeps them (docs/OPERATIONS.md): 32 bytes in hex or base64. Unset: none can be kept.',
    sealingKeyText('the output of: openssl rand -hex 32'),
  ),
  encryptionKeyFile: setting(
    'TOLLGATE_ENCRYPTION_KEY_FILE',
    null,
    'File that holds that key, where `TOLLGATE_ENCRYPTION_KEY` is unset.',
    path('/run/secrets/tollgate-encryption-key'),
  ),
} as const;
