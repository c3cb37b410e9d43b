/** What the console shows when there is a lot, when something fails, and when a session ends. */
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { en } from '../../src/console/messages/en.ts';
import { hasBrowser, launchBrowser, type Visit, visit } from './browser.ts';
import { openDialog, PATIENT, signIn, signInAsAdmin } from './console-steps.ts';
import { type Stack, startStack } from './stack.ts';

describe.skipIf(!hasBrowser)('a page of the console', { timeout: 120_000 }, () => {
  let stack: Stack;
  let browser: Browser;
  const visits: Visit[] = [];
  beforeAll(async () => {
    stack = await startStack();
    browser = await launchBrowser();
  }, 120_000);
  afterEach(() => Promise.all(visits.splice(0).map((each) => each.close())));
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  });
  const open = async (path: string) => {
    const opened = await visit(browser, stack.app.url, { locale: 'en-US', colorScheme: 'light' });
    visits.push(opened);
    await opened.page.goto(path);
    return opened;
  };

  it('shows a long list page by page, there and back', async () => {
    const { teamId } = await stack.team({ limitUsd: '1.00' });
    for (let count = 1; count <= 54; count++) {
      await stack.admin('POST', '/keys', { team_id: teamId, name: `key ${count}` });
    }
    const { page } = await open(`/console/keys?team_id=${teamId}`);
    await signInAsAdmin(page);
    const rows = page.getByRole('table', { name: en.nav.keys }).locator('tbody tr');
    await expect.poll(() => rows.count(), PATIENT).toBe(50);
    // Names of teams come after the keys that they are shown with.
    await expect.poll(() => rows.first().textContent()).toContain('team-');
    const first = await rows.first().textContent();
    await page.getByRole('button', { name: en.common.next }).click();
    await expect.poll(() => rows.count(), PATIENT).toBe(5);
    await page.getByText(en.common.page('2')).waitFor();
    expect(await page.getByRole('button', { name: en.common.next }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: en.common.previous }).click();
    await expect.poll(() => rows.count(), PATIENT).toBe(50);
    expect(await rows.first().textContent()).toBe(first);
  });

  it('shows a failure in place, and loads again on request', async () => {
    const { page } = await open('/console/plans');
    await signInAsAdmin(page);
    await page.getByRole('table', { name: en.nav.plans }).waitFor();
    let isDown = true;
    await page.route('**/admin/v1/plans**', (route) => {
      const error = { code: 'ledger_unavailable', message: 'the database cannot be reached', param: null };
      return isDown ? route.fulfill({ status: 503, json: { error } }) : route.continue();
    });
    await page.reload();
    const alert = page.getByRole('alert').filter({ hasText: en.common.failed });
    await alert.getByText(en.errors.ledger_unavailable!).waitFor();
    isDown = false;
    await alert.getByRole('button', { name: en.common.retry }).click();
    await page.getByRole('table', { name: en.nav.plans }).waitFor();
    expect(await alert.count()).toBe(0);
  });

  it('asks what a limit would do again on request', async () => {
    const { teamId } = await stack.team({ limitUsd: '1.00' });
    const { page } = await open(`/console/teams/${teamId}`);
    await signInAsAdmin(page);
    const preview = '**/admin/v1/limits/preview';
    const error = { code: 'ledger_unavailable', message: 'the database cannot be reached', param: null };
    await page.route(preview, (route) => route.fulfill({ status: 503, json: { error } }));
    const dialog = await openDialog(page, en.limits.new);
    await dialog.getByLabel(en.common.amount).fill('2');
    const alert = dialog.getByRole('alert').filter({ hasText: en.common.failed });
    await alert.getByText(en.errors.ledger_unavailable!).waitFor();
    await page.unroute(preview);
    await alert.getByRole('button', { name: en.common.retry }).click();
    await dialog.getByText(en.limits.previewLeft, { exact: true }).waitFor();
    expect(await alert.count()).toBe(0);
  });

  it('says what the database has forgotten, until it lends again', async () => {
    const { page } = await open('/console/overview');
    const state = await stack.admin<Record<string, unknown>>('GET', '/store');
    let changed: Record<string, unknown> = { is_lending: false };
    await page.route('**/admin/v1/store**', (route) => route.fulfill({ json: { ...state, ...changed } }));
    await signInAsAdmin(page);
    await page.getByText(en.overview.storeWaits(0)).waitFor();
    changed = { began_at: new Date().toISOString(), lost_changes: [{}, {}] };
    await page.getByText(en.overview.storeForgot(2, 0)).waitFor();
    changed = {};
    await page.getByText(en.overview.storeForgot(2, 0)).waitFor({ state: 'detached' });
  });

  it('sets rate limits, and opens the section of a field with an error', async () => {
    const { teamId } = await stack.team({ limitUsd: '1.00' });
    const { page, complaints } = await open(`/console/teams/${teamId}`);
    await signInAsAdmin(page);
    const dialog = await openDialog(page, en.limits.new);
    await dialog.getByLabel(en.limits.meter).selectOption('requests');
    await dialog.getByLabel(en.limits.window).selectOption('rolling');
    await dialog.getByLabel(en.limits.length).fill('90');
    await dialog.getByLabel(en.limits.quantity).fill('5');
    await dialog.getByText(en.limits.more).click();
    await dialog.getByLabel(en.limits.warnAt).fill('a lot');
    await dialog.getByText(en.limits.more).click();
    await dialog.getByRole('button', { name: en.limits.new }).click();
    await dialog.getByText(en.limits.badPercents).waitFor();
    await expect.poll(() => page.evaluate('document.activeElement.dataset.param'), PATIENT).toBe('warn_at');
    await dialog.getByLabel(en.limits.warnAt).fill('60, 90');
    await dialog.getByRole('button', { name: en.limits.new }).click();
    await page.getByText(en.limits.made).waitFor();
    const row = page.getByRole('table', { name: en.nav.limits }).getByRole('row', { name: '5 requests' });
    expect(await row.textContent()).toContain(en.limits.rolling(en.limits.seconds('90')));
    const limits = await stack.admin<{ data: object[] }>('GET', `/limits?team_id=${teamId}`);
    expect(limits.data).toContainEqual(
      expect.objectContaining({ meter: 'requests', amount: '5', warn_at: [60, 90] }),
    );

    const change = await openDialog(page, `${en.common.change} 5 requests`);
    await change.getByText(en.limits.more).click();
    expect(await change.getByLabel(en.limits.warnAt).inputValue()).toBe('60, 90');
    await change.getByLabel(en.limits.quantity).fill('7');
    await change.getByLabel(en.limits.warnAt).fill('');
    await change.getByRole('button', { name: en.common.save }).click();
    await page.getByText(en.limits.changed).waitFor();
    const changed = await stack.admin<{ data: object[] }>('GET', `/limits?team_id=${teamId}`);
    expect(changed.data).toContainEqual(expect.objectContaining({ amount: '7', warn_at: null }));
    expect(complaints).toEqual([]);
  });

  it('returns to the sign-in when the key of its session is revoked', async () => {
    const { key, keyId } = await stack.team({ limitUsd: '1.00' });
    const { page } = await open('/console');
    await signIn(page, key);
    await page.getByRole('heading', { level: 1, name: en.nav.overview }).waitFor();
    await stack.admin('DELETE', `/keys/${keyId}`);
    await page.getByText(en.signIn.ended).waitFor();
    expect(await page.getByLabel(en.signIn.key).inputValue()).toBe('');
  });
});
