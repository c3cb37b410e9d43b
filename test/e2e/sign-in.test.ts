/** Signing in by name, with a real identity provider: who gets in, as whom, and what cannot be forged on the way. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../src/demo/port.ts';
import {
  type Account,
  CLIENT,
  type IdentityProvider,
  startIdentityProvider,
} from '../support/identity-provider.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
let origin: string;
let provider: IdentityProvider;
beforeAll(async () => {
  const port = (await freePort(21_000 + (process.pid % 1000), '127.0.0.1'))!;
  origin = `http://127.0.0.1:${port}`;
  provider = await startIdentityProvider(origin);
  stack = await startStack({
    env: {
      PORT: String(port),
      TOLLGATE_PUBLIC_URL: origin,
      TOLLGATE_OIDC_ISSUER: provider.issuer,
      TOLLGATE_OIDC_CLIENT_ID: CLIENT.id,
      TOLLGATE_OIDC_CLIENT_SECRET: CLIENT.secret,
      TOLLGATE_OIDC_ALLOWED_DOMAINS: 'example.com',
    },
  });
});
afterAll(async () => {
  await stack?.stop();
  await provider?.close();
});

/** A browser, as far as cookies and redirects go. */
class Browser {
  readonly cookies = new Map<string, Map<string, string>>();
  readonly seen: string[] = [];

  async ask(url: string, init: RequestInit = {}): Promise<Response> {
    const { origin: site } = new URL(url);
    const jar = this.cookies.get(site) ?? new Map<string, string>();
    this.cookies.set(site, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...(init.headers as Record<string, string>), cookie };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const set of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
      if (value === '' || /expires=Thu, 01 Jan 1970|max-age=0/i.test(set)) jar.delete(name);
      else jar.set(name, value);
    }
    return response;
  }

  /** Follows redirects, giving a name where the provider asks for one, until Tollgate's page or `until`. */
  async follow(url: string, name: string, until = '/console'): Promise<URL> {
    let at = new URL(url);
    for (let steps = 0; steps < 20; steps++) {
      this.seen.push(at.href);
      if (at.origin === origin && at.pathname.startsWith(until) && !at.pathname.startsWith('/console/oidc/s'))
        if (until !== '/console' || !at.pathname.startsWith('/console/oidc')) return at;
      let response = await this.ask(at.href);
      if (response.status === 200) {
        const action = /action="([^"]+)"/.exec(await response.text())?.[1] ?? '';
        const body = new URLSearchParams({ prompt: 'login', login: name, password: 'x' });
        response = await this.ask(new URL(action, at).href, {
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: body.toString(),
        });
      }
      const location = response.headers.get('location');
      if (location === null) throw new Error(`${at}: ${response.status} ${await response.text()}`);
      at = new URL(location, at);
    }
    throw new Error('too many redirects');
  }

  async session(): Promise<{
    person: { id: string; user_name: string } | null;
    csrf: string;
    permissions: object;
  } | null> {
    const response = await this.ask(`${origin}/console/session`);
    return response.status === 204 ? null : ((await response.json()) as never);
  }
}

async function signIn(name: string, account: Account = {}, to = ''): Promise<{ browser: Browser; at: URL }> {
  provider.accounts.set(name, { email: `${name}@example.com`, email_verified: true, name, ...account });
  const browser = new Browser();
  const at = await browser.follow(
    `${origin}/console/oidc/start${to && `?to=${encodeURIComponent(to)}`}`,
    name,
  );
  return { browser, at };
}

interface Row {
  id: string;
  [name: string]: unknown;
}
const people = async () => (await stack.admin<{ data: Row[] }>('GET', '/people?limit=1000')).data;
const personOf = async (userName: string) => (await people()).find((row) => row.user_name === userName);

describe('signing in through the identity provider', () => {
  it('is offered, and asks with PKCE, state and nonce', async () => {
    expect(await (await fetch(`${origin}/console/oidc`)).json()).toEqual({ enabled: true });
    const response = await fetch(`${origin}/console/oidc/start`, { redirect: 'manual' });
    const asked = new URL(response.headers.get('location')!);
    expect(asked.origin).toBe(provider.issuer);
    const { code_challenge, code_challenge_method, state, nonce, redirect_uri } = Object.fromEntries(
      asked.searchParams,
    );
    expect({ code_challenge_method, redirect_uri }).toEqual({
      code_challenge_method: 'S256',
      redirect_uri: `${origin}/console/oidc/callback`,
    });
    for (const secret of [code_challenge, state, nonce]) expect(secret!.length).toBeGreaterThan(40);
    const cookie = response.headers.get('set-cookie')!;
    expect(cookie).toMatch(
      /^tollgate_sign_in=[^;]+; Max-Age=600; Path=\/console\/oidc; HttpOnly; SameSite=Lax$/,
    );
  });

  it('makes a person without a role, who may do nothing until an admin gives one', async () => {
    const { browser, at } = await signIn('ada', { name: 'Ada Lovelace' });
    expect(at.href).toBe(`${origin}/console`);
    expect(await browser.session()).toMatchObject({
      role: 'person',
      person: { user_name: 'ada@example.com', display_name: 'Ada Lovelace' },
      permissions: {},
    });
    expect((await browser.ask(`${origin}/admin/v1/teams`)).status).toBe(403);
    const ada = (await personOf('ada@example.com'))!;
    await stack.admin('PATCH', `/people/${ada.id}`, { roles: [{ role: 'viewer', scope: { type: 'org' } }] });
    expect((await browser.ask(`${origin}/admin/v1/teams`)).status).toBe(200);
    const { data } = await stack.admin<{ data: Row[] }>('GET', '/audit?resource=session&limit=1');
    expect(data).toMatchObject([{ actor: 'person ada@example.com', action: 'sign_in' }]);
  });

  it('is the same person again, also under another address', async () => {
    const first = (await (await signIn('grace')).browser.session())!.person!;
    const second = (await (await signIn('grace', { email: 'hopper@example.com' })).browser.session())!
      .person!;
    expect(second.id).toBe(first.id);
  });

  it('finds who was made before by the verified address, and by the external id', async () => {
    const roles = [{ role: 'finance', scope: { type: 'org' } }];
    const made = await stack.admin<Row>('POST', '/people', {
      user_name: 'cfo',
      email: 'clerk@example.com',
      roles,
    });
    expect((await (await signIn('clerk')).browser.session())!.person).toMatchObject({
      id: made.id,
      user_name: 'cfo',
    });
    const known = await stack.admin<Row>('POST', '/people', {
      user_name: 'known',
      external_id: 'sub-1',
      roles,
    });
    expect((await (await signIn('sub-1')).browser.session())!.person).toMatchObject({ id: known.id });
  });

  it('takes no one’s place by an address that the provider has not verified, or that is known to another', async () => {
    const roles = [{ role: 'owner', scope: { type: 'org' } }];
    await stack.admin('POST', '/people', { user_name: 'boss@example.com', email: 'boss@example.com', roles });
    const forged = await signIn('mallory', { email: 'boss@example.com', email_verified: false });
    expect(forged.at.search).toBe('?sign_in=domain');
    expect(await forged.browser.session()).toBe(null);
    await signIn('boss');
    const second = await signIn('eve', { email: 'boss@example.com' });
    expect(second.at.search).toBe('?sign_in=conflict');
    expect(await second.browser.session()).toBe(null);
  });

  it('is refused to other domains, and to who is inactive', async () => {
    const stranger = await signIn('stranger', { email: 'stranger@example.org' });
    expect(stranger.at.search).toBe('?sign_in=domain');
    const leaver = await signIn('leaver');
    const { id } = (await personOf('leaver@example.com'))!;
    await stack.admin('PATCH', `/people/${id}`, { active: false });
    expect(await leaver.browser.session()).toBe(null);
    expect((await signIn('leaver')).at.search).toBe('?sign_in=inactive');
    await stack.admin('DELETE', `/people/${id}`);
    expect((await signIn('leaver')).at.search).toBe('?sign_in=inactive');
    await stack.admin('PATCH', `/people/${id}`, { active: true });
    expect((await (await signIn('leaver')).browser.session())?.person?.id).toBe(id);
  });

  it('gives the roles of groups, as the mapping is now and the groups were at the sign-in', async () => {
    const { teamId } = await stack.team();
    const roles = [{ role: 'team_lead', scope: { type: 'team', id: teamId } }];
    await stack.admin('POST', '/role-mappings', { name: '/leads of teams', roles });
    const { browser } = await signIn('lead', { groups: ['/leads of teams', 'others'] });
    const seen = async () => {
      const response = await browser.ask(`${origin}/admin/v1/teams`);
      return response.status === 200
        ? ((await response.json()) as { data: Row[] }).data.map(({ id }) => id)
        : response.status;
    };
    expect(await seen()).toEqual([teamId]);
    await stack.admin('DELETE', `/role-mappings/${encodeURIComponent('/leads of teams')}`);
    expect(await seen()).toBe(403);
  });

  it('signs out, here and on every copy of the cookie', async () => {
    const { browser } = await signIn('ada');
    const copy = new Browser();
    copy.cookies.set(origin, new Map(browser.cookies.get(origin)));
    expect((await copy.session())?.person).not.toBe(null);
    await browser.ask(`${origin}/console/session`, { method: 'DELETE' });
    expect(await copy.session()).toBe(null);
  });
});

describe('what cannot be forged on the way', () => {
  it('leads to a page of the console alone, whatever is asked for', async () => {
    expect((await signIn('ada', {}, '/console/teams?x=1')).at.href).toBe(`${origin}/console/teams?x=1`);
    for (const to of [
      'https://evil.example',
      '//evil.example/console/',
      '/\\evil.example',
      '/console/../..//evil.example',
      '/consolex',
      'javascript:alert(1)',
      '/admin/v1/teams',
    ]) {
      const { at } = await signIn('ada', {}, to);
      expect(at.href, to).toBe(`${origin}/console`);
    }
  });

  it('an answer counts only in the browser that asked, and once', async () => {
    const victim = new Browser();
    const attacker = new Browser();
    provider.accounts.set('mallory', { email: 'mallory@example.com', email_verified: true });
    const callback = await attacker.follow(
      `${origin}/console/oidc/start`,
      'mallory',
      '/console/oidc/callback',
    );
    // Another browser gets the attacker's answer: with no question of its own, and with another one.
    for (const ask of [false, true]) {
      if (ask) await victim.ask(`${origin}/console/oidc/start`);
      const response = await victim.ask(callback.href);
      expect(response.headers.get('location')).toMatch(/^\/console\?sign_in=(expired|failed)$/);
      expect(await victim.session()).toBe(null);
    }
    expect((await attacker.ask(callback.href)).headers.get('location')).toBe('/console');
    const again = await attacker.ask(callback.href);
    expect(again.headers.get('location')).toBe('/console?sign_in=expired');
  });

  it('an answer of another issuer, with another state, or with an error signs no one in', async () => {
    for (const [name, value] of [
      ['iss', 'https://evil.example'],
      ['state', 'another'],
      ['code', 'another'],
    ] as const) {
      const browser = new Browser();
      const callback = await browser.follow(`${origin}/console/oidc/start`, 'ada', '/console/oidc/callback');
      callback.searchParams.set(name, value);
      const response = await browser.ask(callback.href);
      expect(response.headers.get('location'), name).toBe('/console?sign_in=failed');
      expect(await browser.session()).toBe(null);
    }
    const browser = new Browser();
    const begun = await browser.ask(`${origin}/console/oidc/start`);
    const { state = '' } = Object.fromEntries(new URL(begun.headers.get('location')!).searchParams);
    const query = new URLSearchParams({ error: 'access_denied', state, iss: provider.issuer });
    const denied = await browser.ask(`${origin}/console/oidc/callback?${query}`);
    expect(denied.headers.get('location')).toBe('/console?sign_in=denied');
  });

  it('a session is always a new one: a cookie that was there before is not the one that is signed in', async () => {
    const { browser: mallory } = await signIn('mallory');
    const planted = mallory.cookies.get(origin)!.get('tollgate_session')!;
    const browser = new Browser();
    browser.cookies.set(origin, new Map([['tollgate_session', planted]]));
    await browser.follow(`${origin}/console/oidc/start`, 'ada');
    expect(browser.cookies.get(origin)!.get('tollgate_session')).not.toBe(planted);
    expect((await browser.session())!.person!.user_name).toBe('ada@example.com');
    expect((await mallory.session())!.person!.user_name).toBe('mallory@example.com');
  });
});

it('sign-ins that fail over and over ask the provider no more for a minute', async () => {
  const browser = new Browser();
  let status = 303;
  for (let tried = 0; tried < 40 && status === 303; tried++) {
    await browser.ask(`${origin}/console/oidc/start`);
    ({ status } = await browser.ask(`${origin}/console/oidc/callback?code=x&state=x`));
  }
  expect(status).toBe(429);
});

describe('an identity provider that is away', () => {
  it('hinders no other way to sign in, and is asked again by the next one', async () => {
    const away = await startStack({
      env: {
        TOLLGATE_PUBLIC_URL: 'http://127.0.0.1:1',
        TOLLGATE_OIDC_ISSUER: 'http://127.0.0.1:1',
        TOLLGATE_OIDC_CLIENT_ID: CLIENT.id,
      },
    });
    try {
      for (let tried = 0; tried < 2; tried++) {
        const response = await fetch(`${away.app.url}/console/oidc/start`, { redirect: 'manual' });
        expect(response.headers.get('location')).toBe('/console?sign_in=unavailable');
      }
      await away.admin('GET', '/teams');
    } finally {
      await away.stop();
    }
  });

  it('is not offered where none is configured', async () => {
    const none = await startStack();
    try {
      expect(await (await fetch(`${none.app.url}/console/oidc`)).json()).toEqual({ enabled: false });
    } finally {
      await none.stop();
    }
  });
});
