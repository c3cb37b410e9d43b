/**
 * Sign-in through an identity provider (OpenID Connect, authorization code with PKCE). Owns: what is asked of the provider, and
 * what of its answer is believed. Does not own: who may do what (roles), sessions. Invariants: an answer counts only for the
 * browser that asked (state), for one question (nonce, PKCE), from the issuer that was configured; the provider being away
 * hinders no other way to sign in.
 */
import * as oidc from 'openid-client';
import { z } from 'zod';
import type { Identity } from '../store/sign-in.ts';

export interface OidcSettings {
  issuer: string;
  clientId: string;
  /** Null: a public client, which PKCE alone protects. */
  clientSecret: string | null;
  /** Where browsers reach Tollgate, without a slash at the end. */
  publicUrl: string;
  scope: string;
  groupsClaim: string;
  /** Domains of e-mail addresses that may sign in; null: all. */
  allowedDomains: readonly string[] | null;
}

export const CALLBACK_PATH = '/console/oidc/callback';

/** What the browser keeps between the question and the answer. */
export const attempt = z.strictObject({
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  /** The page of the console to go to. */
  to: z.string(),
});
export type SignInAttempt = z.infer<typeof attempt>;

/** Why there is no session; the console has a text for each. */
export type SignInProblem =
  | 'unavailable'
  | 'denied'
  | 'expired'
  | 'failed'
  | 'domain'
  | 'inactive'
  | 'conflict';

const CLOCK_TOLERANCE_S = 30;
const TIMEOUT_S = 10;
const GROUPS_MAX = 500;
const TEXT_MAX = 256;

export class OidcClient {
  readonly #settings: OidcSettings;
  readonly #onError: (error: unknown) => void;
  #discovered: Promise<oidc.Configuration> | null = null;

  constructor(settings: OidcSettings, onError: (error: unknown) => void) {
    this.#settings = settings;
    this.#onError = onError;
  }

  /** Returns where to send the browser, and what it keeps meanwhile. */
  async begin(to: string): Promise<{ url: string; attempt: SignInAttempt } | SignInProblem> {
    const configuration = await this.#configuration();
    if (configuration === null) return 'unavailable';
    const verifier = oidc.randomPKCECodeVerifier();
    const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
    const url = oidc.buildAuthorizationUrl(configuration, {
      redirect_uri: this.#redirectUri(),
      scope: this.#settings.scope,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    });
    return { url: url.href, attempt: { state, nonce, verifier, to } };
  }

  /** Returns who signed in, by the query of the callback. */
  async finish(search: string, { state, nonce, verifier }: SignInAttempt): Promise<Identity | SignInProblem> {
    const configuration = await this.#configuration();
    if (configuration === null) return 'unavailable';
    try {
      const answer = await oidc.authorizationCodeGrant(configuration, new URL(this.#redirectUri() + search), {
        pkceCodeVerifier: verifier,
        expectedState: state,
        expectedNonce: nonce,
        idTokenExpected: true,
      });
      const claims = answer.claims();
      if (claims === undefined) return 'failed';
      const more =
        configuration.serverMetadata().userinfo_endpoint === undefined
          ? {}
          : await oidc.fetchUserInfo(configuration, answer.access_token, claims.sub);
      return this.#identityOf({ ...more, ...claims });
    } catch (error) {
      if (error instanceof oidc.AuthorizationResponseError) return 'denied';
      // It may have moved: the next sign-in asks again what it is.
      this.#discovered = null;
      this.#onError(error);
      return 'failed';
    }
  }

  #redirectUri(): string {
    return this.#settings.publicUrl + CALLBACK_PATH;
  }

  #identityOf(claims: Record<string, unknown> & { iss: string; sub: string }): Identity | SignInProblem {
    const email = isTrue(claims.email_verified) ? textOf(claims.email)?.toLowerCase() : undefined;
    const { allowedDomains, groupsClaim } = this.#settings;
    const domain = email?.slice(email.lastIndexOf('@') + 1);
    if (allowedDomains !== null && (domain === undefined || !allowedDomains.includes(domain)))
      return 'domain';
    const userName = (email ?? textOf(claims.preferred_username) ?? claims.sub).toLowerCase();
    const named = claims[groupsClaim];
    const groups = (Array.isArray(named) ? named : [named]).flatMap((group) => textOf(group) ?? []);
    return {
      issuer: claims.iss,
      subject: claims.sub,
      userName,
      displayName: textOf(claims.name) ?? userName,
      email: email ?? null,
      groups: [...new Set(groups)].slice(0, GROUPS_MAX),
    };
  }

  /** Asks the provider once what it is, and again after a failure, also of another request. Null: it is away. */
  async #configuration(): Promise<oidc.Configuration | null> {
    this.#discovered ??= this.#discover();
    try {
      return await this.#discovered;
    } catch (error) {
      this.#discovered = null;
      this.#onError(error);
      return null;
    }
  }

  async #discover(): Promise<oidc.Configuration> {
    const { issuer, clientId, clientSecret } = this.#settings;
    const url = new URL(issuer);
    // On this machine alone, where a test or a trial runs its provider, may a secret go unencrypted.
    const execute = isLoopback(url) ? [oidc.allowInsecureRequests] : [];
    const options = { execute, timeout: TIMEOUT_S };
    const metadata = { [oidc.clockTolerance]: CLOCK_TOLERANCE_S };
    const found = await oidc.discovery(url, clientId, metadata, authOf(clientSecret, undefined), options);
    const { token_endpoint_auth_methods_supported: methods } = found.serverMetadata();
    if (clientSecret === null || methods === undefined || methods.includes('client_secret_basic'))
      return found;
    return oidc.discovery(url, clientId, metadata, authOf(clientSecret, methods), options);
  }
}

function authOf(secret: string | null, methods: readonly string[] | undefined): oidc.ClientAuth {
  if (secret === null) return oidc.None();
  const isBasic = methods === undefined || methods.includes('client_secret_basic');
  return isBasic ? oidc.ClientSecretBasic(secret) : oidc.ClientSecretPost(secret);
}

function isLoopback({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
}

/** Amazon Cognito's user info says it in a text: https://github.com/zitadel/oidc/issues/137 */
function isTrue(claim: unknown): boolean {
  return claim === true || claim === 'true';
}

/** Returns a claim as a text that may stand in the database and in the audit log; undefined: it is none. */
function textOf(claim: unknown): string | undefined {
  if (typeof claim !== 'string') return undefined;
  const text = claim
    .replace(/\p{Cc}/gu, ' ')
    .trim()
    .slice(0, TEXT_MAX)
    .toWellFormed();
  return text === '' ? undefined : text;
}

/** Returns the page of the console that a text names; the first page for everything else: no sign-in leads elsewhere. */
export function consolePage(text: string | undefined): string {
  const url = URL.parse(text ?? '', 'http://console.invalid');
  if (url === null || url.origin !== 'http://console.invalid' || url.username !== '') return '/console';
  return url.pathname.startsWith('/console/') ? url.pathname + url.search : '/console';
}
