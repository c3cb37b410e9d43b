/** Settings of secrets that stand encrypted in Postgres. */
import { path, sealingKeyTexts } from './readers.ts';
import { setting } from './setting.ts';

export const SECRETS = {
  secretsKey: setting(
    'TOLLGATE_SECRETS_KEY',
    null,
    'Master key of secrets in Postgres (docs/UPSTREAMS.md): 32 bytes in hex or base64; several with commas, of which the first encrypts.',
    sealingKeyTexts('oM9c0pXw5h2fB7yQkT1uVd8sLz3nAe6iRjGxHmCtWbE='),
  ),
  secretsKeyFile: setting(
    'TOLLGATE_SECRETS_KEY_FILE',
    null,
    'File with the same, read at the start.',
    path('/run/secrets/tollgate'),
  ),
};
