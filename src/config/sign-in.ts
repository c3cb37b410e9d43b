/** Settings of signing in by name: the identity provider, and where browsers reach Tollgate. */
import { domains, issuerUrl, path, scopes, secret, siteUrl, word } from './readers.ts';
import { setting } from './setting.ts';

export const SIGN_IN = {
  publicUrl: setting(
    'TOLLGATE_PUBLIC_URL',
    null,
    'Where browsers reach Tollgate: links in notices lead there, the identity provider back to `<url>/console/oidc/callback`.',
    siteUrl('https://tollgate.example.com'),
  ),
  oidcIssuer: setting(
    'TOLLGATE_OIDC_ISSUER',
    null,
    'Identity provider (OpenID Connect) by which people sign in to the console. Unset: none.',
    issuerUrl('https://login.example.com/realms/company'),
  ),
  oidcClientId: setting(
    'TOLLGATE_OIDC_CLIENT_ID',
    null,
    'What Tollgate is called at the identity provider.',
    word('tollgate'),
  ),
  oidcClientSecret: setting(
    'TOLLGATE_OIDC_CLIENT_SECRET',
    null,
    'Its secret there. Unset: that of the file, else Tollgate is a public client, which PKCE protects.',
    secret(1, 'Ta7kQ…'),
  ),
  oidcClientSecretFile: setting(
    'TOLLGATE_OIDC_CLIENT_SECRET_FILE',
    null,
    'File with the secret, read at the start.',
    path('/run/secrets/oidc'),
  ),
  oidcScope: setting(
    'TOLLGATE_OIDC_SCOPE',
    'openid profile email',
    'What is asked of the identity provider, separated by blanks; some give groups only for a scope of their own.',
    scopes('openid profile email groups'),
  ),
  oidcGroupsClaim: setting(
    'TOLLGATE_OIDC_GROUPS_CLAIM',
    'groups',
    'Claim with the groups of a person, by which `/admin/v1/role-mappings` gives roles.',
    word('roles'),
  ),
  oidcAllowedDomains: setting(
    'TOLLGATE_OIDC_ALLOWED_DOMAINS',
    null,
    'Domains of verified e-mail addresses that may sign in, separated by commas. Unset: all that the provider knows.',
    domains('example.com,example.org'),
  ),
};

/** What a sign-in cannot be without, once there is an issuer. */
export const NEEDED = ['oidcClientId', 'publicUrl'] as const;
