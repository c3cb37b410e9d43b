/** People in the console: signing in through a real identity provider, and what each role is offered. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { en } from '../../src/console/messages/en.ts';
import { zh } from '../../src/console/messages/zh.ts';
import { freePort } from '../../src/demo/port.ts';
import { CLIENT, type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts';
import { hasBrowser, type Look, launchBrowser, type Visit, visit } from './browser.ts';
import { goTo, openDialog, signInAsAdmin } from './console-steps.ts';
import { type Stack, startStack } from './stack.ts';

const LOOKS: (Look & { words: typeof en })[] = [
  { locale: 'en-US', colorScheme: 'light', words: en },
  { locale: 'zh-CN', colorScheme: 'dark', words: zh },
];

describe.skipIf(!hasBrowser)('people in the console', { timeout: 180_000 }, () => {
  let stack: Stack;
  let provider: IdentityProvider;
  let browser: Browser;
  let team: { teamId: string };
  const visits: Visit[] = [];
  beforeAll(async () => {
    const port = (await freePort(22_000 + (process.pid % 1000), '127.0.0.1'))!;
    const origin = `http://127.0.0.1:${port}`;
    provider = await startIdentityProvider(origin);
    stack = await startStack({
      env: {
        PORT: String(port),
        TOLLGATE_PUBLIC_URL: origin,
        TOLLGATE_OIDC_ISSUER: provider.issuer,
        TOLLGATE_OIDC_CLIENT_ID: CLIENT.id,
        TOLLGATE_OIDC_CLIENT_SECRET: CLIENT.secret,
      },
    });
    team = await stack.team({ grantUsd: '18.00' });
    browser = await launchBrowser();
  }, 120_000);
  afterEach(() => Promise.all(visits.splice(0).map((each) => each.close())));
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
    await provider?.close();
  });
  const open = async (look: Partial<Look> = {}) => {
    const all: Look = { locale: 'en-US', colorScheme: 'light', besides: provider.issuer, ...look };
    const opened = await visit(browser, stack.app.url, all);
    visits.push(opened);
    return opened;
  };
  /** Through the pages of the provider, as people do. */
  const signInByName = async (page: Page, name: string, words = en) => {
    provider.accounts.set(name, { email: `${name}@example.com`, email_verified: true, name });
    await page.getByRole('link', { name: words.provider.signIn }).click();
    await page.locator('input[name=login]').fill(name);
    await page.locator('input[name=password]').fill('x');
    await page.locator('button[type=submit]').click();
    await page.getByRole('button', { name: words.app.signOut }).waitFor();
  };

  it.each(LOOKS)(
    'sign in, are told whom to ask without a role, and get to work with one: $locale',
    async ({ words, ...look }) => {
      const { page, complaints, faults } = await open(look);
      const name = look.locale === 'zh-CN' ? 'li' : 'ada';
      await page.goto(`/console/teams/${team.teamId}`);
      await page.getByRole('link', { name: words.provider.signIn }).waitFor();
      expect(await faults()).toEqual([]);
      await signInByName(page, name, words);
      // The provider's own pages ask for a font elsewhere.
      complaints.length = 0;
      await page.getByRole('heading', { level: 1, name: words.people.noRole }).waitFor();
      await page.getByText(`${name}@example.com`).first().waitFor();
      expect(await page.getByRole('navigation').getByRole('link').count()).toBe(1);
      expect(await faults()).toEqual([]);

      const { data } = await stack.admin<{ data: { id: string; user_name: string }[] }>('GET', '/people');
      const { id } = data.find(({ user_name }) => user_name === `${name}@example.com`)!;
      const scope = { type: 'team', id: team.teamId };
      await stack.admin('PATCH', `/people/${id}`, { roles: [{ role: 'team_lead', scope }] });
      await page.reload();
      // The page that was asked for before the sign-in.
      await page.getByRole('heading', { level: 1, name: 'team-1' }).waitFor();
      await page.getByRole('button', { name: words.keys.new }).waitFor();
      for (const withheld of [words.common.remove, words.limits.new])
        expect(await page.getByRole('button', { name: withheld }).count()).toBe(0);
      for (const withheld of [words.nav.people, words.nav.reconciliation])
        expect(await page.getByRole('link', { name: withheld, exact: true }).count()).toBe(0);
      await goTo(page, words.nav.plans);
      expect(await page.getByRole('button', { name: words.plans.new }).count()).toBe(0);
      await goTo(page, words.nav.sessions);
      await page.getByText(words.sessions.current).waitFor();
      expect(await faults()).toEqual([]);
      await page.getByRole('button', { name: words.app.signOut }).click();
      await page.getByRole('link', { name: words.provider.signIn }).waitFor();
      expect(complaints).toEqual([]);
    },
  );

  it('are told why they were not let in', async () => {
    const { page, faults } = await open();
    for (const [problem, text] of Object.entries(en.provider.problems)) {
      await page.goto(`/console?sign_in=${problem}`);
      await page.getByText(text).waitFor();
    }
    expect(await faults()).toEqual([]);
  });

  it('are made by an admin, with roles, tokens that are shown once, and roles of groups', async () => {
    const { page, complaints, faults } = await open();
    await page.goto('/console/people');
    await signInAsAdmin(page);
    const person = await openDialog(page, en.people.new);
    await person.getByLabel(en.people.userName).fill('grace@example.com');
    await person.getByRole('button', { name: en.people.addRole }).click();
    await person.getByLabel(en.people.role, { exact: true }).selectOption('finance');
    await person.getByLabel(en.people.scope).selectOption(`team ${team.teamId}`);
    expect(await faults()).toEqual([]);
    await person.getByRole('button', { name: en.people.new }).click();
    await page.getByText('Finance (team team-1)').waitFor();

    const token = await openDialog(page, en.tokens.new);
    await token.getByLabel(en.common.name).fill('ci');
    await token.getByRole('button', { name: en.tokens.new }).click();
    const shown = page.getByRole('dialog').getByText(/^tgs-/);
    await shown.waitFor();
    const text = await shown.textContent();
    const headers = { authorization: `Bearer ${text}` };
    expect((await fetch(`${stack.app.url}/admin/v1/teams`, { headers })).status).toBe(200);
    await page.getByRole('button', { name: en.tokens.done }).click();
    expect(await page.content()).not.toContain(text);
    const revoke = await openDialog(page, new RegExp(`^${en.tokens.revoke} ci`));
    await revoke.getByRole('button', { name: en.tokens.revoke }).click();
    await page.getByText(en.tokens.empty).waitFor();
    expect((await fetch(`${stack.app.url}/admin/v1/teams`, { headers })).status).toBe(401);

    const group = await openDialog(page, en.people.newGroup);
    await group.getByLabel(en.people.group).fill('/finance');
    await group.getByRole('button', { name: en.people.newGroup }).click();
    await page.getByRole('rowheader', { name: '/finance' }).waitFor();
    expect(await faults()).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
