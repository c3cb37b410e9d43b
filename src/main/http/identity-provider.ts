/** The identity provider of the configuration. */
import { readFileSync } from 'node:fs';
import { OidcClient } from '../../auth/oidc.ts';
import type { Config } from '../../config.ts';
import type { Log } from '../../telemetry/log.ts';
import { CannotStart } from '../open.ts';

/**
 * Returns by what people sign in; null: there is no identity provider. It is asked what it is when a person signs in: that it
 * is away keeps no gateway from starting.
 * @throws CannotStart when the file with the secret cannot be read
 */
export function identityProvider(config: Config, log: Log): OidcClient | null {
  const { oidcIssuer: issuer, oidcClientId: clientId, publicUrl } = config;
  if (issuer === null || clientId === null || publicUrl === null) return null;
  const settings = {
    issuer,
    clientId,
    clientSecret: config.oidcClientSecret ?? secretOf(config.oidcClientSecretFile),
    publicUrl,
    scope: config.oidcScope,
    groupsClaim: config.oidcGroupsClaim,
    allowedDomains: config.oidcAllowedDomains,
  };
  return new OidcClient(settings, (error) =>
    log.logger.warn({ err: error, issuer }, 'a sign-in through the identity provider failed'),
  );
}

/** Returns the secret in a file; null: none is named. @throws CannotStart when it cannot be read, or is empty */
export function secretOf(file: string | null): string | null {
  if (file === null) return null;
  try {
    const secret = readFileSync(file, 'utf8').trim();
    if (secret !== '') return secret;
  } catch {
    // The same as an empty one: what to do is the same.
  }
  throw new CannotStart(`TOLLGATE_OIDC_CLIENT_SECRET_FILE: ${file} cannot be read, or is empty`);
}
