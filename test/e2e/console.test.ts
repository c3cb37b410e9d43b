/** The console in a real browser, on a real gateway: what an admin, finance and the holder of a key do with it. */
import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { en } from '../../src/console/messages/en.ts';
import { noonZone } from '../support/noon.ts';
import { hasBrowser, type Look, launchBrowser, type Visit, visit } from './browser.ts';
import {
  figure,
  goTo,
  openDialog,
  PATIENT,
  signIn,
  signInAsAdmin,
  spendUntilDenied,
} from './console-steps.ts';
import { type Stack, startStack } from './stack.ts';

/** `usePages` of the console: the rows of a list's first page. */
const CALLS_ON_PAGE = 50;
const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };

if (!hasBrowser) {
  process.stderr.write(
    '\n##### SKIPPED: the console in a browser. Install chromium (or set CHROMIUM) to prove it. #####\n\n',
  );
}

describe.skipIf(!hasBrowser)('the console', { timeout: 120_000 }, () => {
  let stack: Stack;
  let browser: Browser;
  const visits: Visit[] = [];
  beforeAll(async () => {
    stack = await startStack({ env: { TOLLGATE_ENCRYPTION_KEY: '7a'.repeat(32) } });
    browser = await launchBrowser();
  }, 120_000);
  afterEach(() => Promise.all(visits.splice(0).map((each) => each.close())));
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  });
  const open = async (look: Partial<Look> = {}) => {
    const opened = await visit(browser, stack.app.url, { locale: 'en-US', colorScheme: 'light', ...look });
    visits.push(opened);
    return opened;
  };
  const asAdmin = async (path: string) => {
    const opened = await open();
    await opened.page.goto(path);
    await signInAsAdmin(opened.page);
    return opened;
  };

  it('needs a valid key to sign in, and does not keep it', async () => {
    const { page } = await open();
    await page.goto('/console/teams');
    await signIn(page, 'tga-wrong');
    await page.getByText(en.signIn.wrong).first().waitFor();
    expect(await page.getByLabel(en.signIn.key).getAttribute('aria-invalid')).toBe('true');
    await signInAsAdmin(page);
    await page.getByRole('heading', { level: 1, name: en.nav.teams }).waitFor();
    expect(await page.evaluate('document.cookie + JSON.stringify({ ...localStorage })')).toBe('{}');

    await page.getByRole('button', { name: en.app.signOut }).click();
    await page.getByRole('heading', { level: 1, name: en.signIn.title }).waitFor();
    await page.reload();
    await page.getByRole('heading', { level: 1, name: en.signIn.title }).waitFor();
  });

  it('creates a team, its limit and its key, and shows the spend of the key until the limit denies a call', async () => {
    const { page, complaints } = await asAdmin('/console');
    await page.getByText(en.overview.noSpend).waitFor();
    await goTo(page, en.nav.teams);
    await makeTeam(page, 'atelier');
    await page.getByText(en.team.unbounded).waitFor();
    const key = await makeKey(page, 'easel');
    await makeLimit(page, '0.01');

    const calls = await spendUntilDenied(`${stack.app.url}/v1`, key);
    await goTo(page, en.nav.overview);
    await expect.poll(() => figure(page, en.overview.denied).textContent(), PATIENT).toBe('1');
    const team = page.getByRole('region', { name: en.overview.teams });
    await team.getByRole('link', { name: 'atelier' }).waitFor();
    await page
      .getByRole('table', { name: en.overview.denials })
      .getByText(en.reasons.insufficient_quota!)
      .waitFor();
    await page.locator('.chart canvas').waitFor();
    const first = await spentInBoth(page);

    // More budget, more calls: the chart moves by itself.
    await team.getByRole('link', { name: 'atelier' }).click();
    const dialog = await openDialog(page, `${en.common.change} $0.01`);
    await dialog.getByLabel(en.common.amount).fill('0.001');
    // Says what it shows instead.
    const preview = dialog.getByRole('region', { name: en.limits.preview });
    await expect
      .poll(() => preview.textContent(), PATIENT)
      .toMatch(new RegExp(`of today’s ${calls} calls would have been denied`));
    await dialog.getByLabel(en.common.amount).fill('0.03');
    await dialog.getByText(`None of today’s ${calls} calls would have been denied.`).waitFor();
    await dialog.getByRole('button', { name: en.common.save }).click();
    await page.getByText(en.limits.changed).waitFor();
    await goTo(page, en.nav.overview);
    await expect.poll(() => spentInChart(page), PATIENT).toBe(first);
    const more = await spendUntilDenied(`${stack.app.url}/v1`, key);
    await expect.poll(() => spentInChart(page), PATIENT).not.toBe(first);
    await spentInBoth(page);

    await goTo(page, en.nav.calls);
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: en.calls.csv }).click();
    const lines = readFileSync(await (await download).path(), 'utf8')
      .trimEnd()
      .split(/\r?\n/);
    expect(lines).toHaveLength(1 + calls + more);
    const rows = page.getByRole('table', { name: en.calls.list }).locator('tbody tr');
    // The simulated answers differ in length, and so does the number of calls that the money is enough for.
    await expect.poll(() => rows.count(), PATIENT).toBe(Math.min(calls + more, CALLS_ON_PAGE));
    await rows.first().getByRole('link').first().click();
    const stages = page.getByRole('table', { name: en.call.stages });
    await stages.waitFor();
    for (const stage of Object.values(en.call.stageNames)) {
      expect(await stages.getByRole('rowheader', { name: stage }).count()).toBe(1);
    }
    expect(complaints).toEqual([]);
  });

  it('gives a key its tags, a team the days that contents are kept, and opens the statement of a department', async () => {
    const unit = await stack.admin<{ id: string }>('POST', '/departments', { name: 'unit' });
    const { teamId } = await stack.team({ limitUsd: '1.00' });
    const { page, complaints } = await asAdmin(`/console/teams/${teamId}`);
    const form = await openDialog(page, en.keys.new);
    await form.getByLabel(en.common.name).fill('tagged');
    await form.getByLabel(en.keys.tags).fill('project');
    await form.getByRole('button', { name: en.keys.new }).click();
    await form.getByText(en.keys.tagsWrong).waitFor();
    await form.getByLabel(en.keys.tags).fill('project=alpha, note=a=b');
    await form.getByRole('button', { name: en.keys.new }).click();
    await takeKey(page);
    const { data } = await stack.admin<{ data: unknown[] }>('GET', `/keys?team_id=${teamId}`);
    expect(data).toContainEqual(
      expect.objectContaining({ name: 'tagged', tags: { project: 'alpha', note: 'a=b' } }),
    );

    const keep = async (days: string) => {
      const change = await openDialog(page, en.common.change);
      await change.getByLabel(en.teams.contentDays).fill(days);
      await change.getByRole('button', { name: en.common.save }).click();
      if (days === 'a week') {
        await change.getByText(en.teams.contentDaysWrong).waitFor();
        await page.keyboard.press('Escape');
      }
      await change.waitFor({ state: 'detached' });
      return await stack.admin('GET', `/teams/${teamId}`);
    };
    expect(await keep('a week')).toMatchObject({ content_retention_days: null });
    expect(await keep('30')).toMatchObject({ content_retention_days: 30 });
    expect(await keep('')).toMatchObject({ content_retention_days: null });

    await goTo(page, en.nav.departments);
    const statement = page.getByRole('link', { name: en.departments.statement('unit') });
    expect(await statement.getAttribute('href')).toContain(`/departments/${unit.id}/statement?month=`);
    await statement.click();
    await page.getByText('unit').first().waitFor();
    await page.waitForURL(/statement/);
    expect(complaints).toEqual([]);
  });

  it('rotates and revokes keys, sets plans and prices, and shows each change in the audit log', async () => {
    const { teamId } = await stack.team({ limitUsd: '1.00' });
    const { page, complaints } = await asAdmin(`/console/teams/${teamId}`);
    const old = await makeKey(page, 'brush');
    const statusOf = async (key: string) => (await stack.post(key, '/chat/completions', CALL)).status;
    expect(await statusOf(old)).toBe(200);
    await (await openDialog(page, `${en.keys.rotate} brush`))
      .getByRole('button', { name: en.keys.rotate })
      .click();
    const key = await takeKey(page);
    await expect.poll(() => Promise.all([key, old].map(statusOf)), PATIENT).toEqual([200, 401]);
    const again = await openDialog(page, `${en.keys.rotate} brush`);
    await again.getByLabel(en.keys.grace).selectOption('3600');
    await again.getByRole('button', { name: en.keys.rotate }).click();
    const newest = await takeKey(page);
    await page.getByText(/^old text works until/).waitFor();
    await expect.poll(() => Promise.all([newest, key].map(statusOf)), PATIENT).toEqual([200, 200]);
    await (await openDialog(page, `${en.keys.revoke} brush`))
      .getByRole('button', { name: en.keys.revoke })
      .click();
    await page.getByText(en.keys.revokedNow('brush')).waitFor();
    await expect.poll(() => Promise.all([newest, key].map(statusOf)), PATIENT).toEqual([401, 401]);

    await goTo(page, en.nav.plans);
    const plan = await openDialog(page, en.plans.new);
    await plan.getByLabel(en.common.name).fill('starter');
    await plan.getByLabel(en.common.amount).fill('7.50');
    await plan.getByLabel(en.plans.months).fill('6');
    await plan.getByText(en.plans.previewTotal('$7.50')).waitFor();
    await plan.getByRole('button', { name: en.plans.new }).click();
    await page.getByText(en.plans.for('$7.50', 6)).waitFor();

    await goTo(page, en.nav.prices);
    const price = await openDialog(page, en.prices.new);
    await price.getByLabel(en.common.model, { exact: true }).fill('house-model');
    await price.getByLabel(en.prices.input, { exact: true }).fill('0.125');
    await price.getByLabel(en.prices.output, { exact: true }).fill('2.5');
    await price.getByRole('button', { name: en.prices.new }).click();
    await price.getByText(en.common.required).waitFor();
    await price.getByLabel(en.prices.source).fill('agreed');
    await price.getByRole('button', { name: en.prices.new }).click();
    await price.waitFor({ state: 'detached' });
    await page.getByLabel(en.prices.filter).fill('house');
    await page.getByRole('rowheader', { name: 'house-model' }).waitFor();
    expect(await page.getByRole('table').innerHTML()).toContain('$0.12');

    await goTo(page, en.nav.audit);
    const changes = page.getByRole('table', { name: en.audit.list }).locator('tbody tr');
    await expect.poll(() => changes.count(), PATIENT).toBeGreaterThan(5);
    expect(await changes.first().textContent()).toContain(
      `${en.audit.resources.price} ${en.audit.actions.create}`,
    );
    expect(await changes.first().textContent()).toContain('admin session');
    expect(complaints).toEqual([]);
  });

  async function makeTeam(page: Page, name: string): Promise<void> {
    const dialog = await openDialog(page, en.teams.new);
    await dialog.getByRole('button', { name: en.teams.new }).click();
    await dialog.getByText(en.common.required).waitFor();
    await expect
      .poll(() => page.evaluate('document.activeElement.getAttribute("data-param")'), PATIENT)
      .toBe('name');
    await dialog.getByLabel(en.common.name).fill(name);
    await dialog.getByRole('button', { name: en.teams.new }).click();
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await expect.poll(() => page.evaluate('document.activeElement.tagName'), PATIENT).toBe('H1');
    await expect.poll(() => page.title(), PATIENT).toBe(`${name} · Tollgate`);
  }

  async function makeKey(page: Page, name: string): Promise<string> {
    const form = await openDialog(page, en.keys.new);
    await form.getByLabel(en.common.name).fill(name);
    await form.getByRole('button', { name: en.keys.new }).click();
    return takeKey(page);
  }

  /** The key that is shown this once; it is gone from the page once it is copied. */
  async function takeKey(page: Page): Promise<string> {
    await page.getByText(en.keys.shownOnce).waitFor();
    const dialog = page.getByRole('dialog');
    const key = (await dialog.locator('output').textContent()) ?? '';
    await page.keyboard.press('Escape');
    await dialog.getByRole('button', { name: en.common.copy }).click();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(key);
    await dialog.getByRole('button', { name: en.keys.done }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(await page.content()).not.toContain(key);
    return key;
  }

  async function makeLimit(page: Page, amount: string): Promise<void> {
    const dialog = await openDialog(page, en.limits.new);
    await dialog.getByLabel(en.limits.window).selectOption('month');
    // Its day is the one that the preview shows: it does not end meanwhile.
    await dialog.getByLabel(en.limits.timeZone).fill(noonZone());
    await dialog.getByLabel(en.common.amount).fill('1,5');
    await dialog.getByRole('button', { name: en.limits.new }).click();
    await dialog.getByText(en.common.badAmount).waitFor();
    await dialog.getByLabel(en.common.amount).fill(amount);
    await dialog.getByText(en.limits.previewLeft, { exact: true }).waitFor();
    await dialog.getByRole('button', { name: en.limits.new }).click();
    await page.getByText(en.limits.made).waitFor();
    await page.getByRole('table', { name: en.nav.limits }).getByText(`$${amount}`).first().waitFor();
  }

  const spentInChart = async (page: Page) =>
    ((await page.locator('.legend-total .money').textContent()) ?? '').slice(1);

  /** The sum in the chart, once the chart has all that the ledger has: it is drawn anew every few seconds. */
  async function spentInBoth(page: Page): Promise<string> {
    await expect.poll(async () => (await spentInChart(page)) === (await spentInLedger()), PATIENT).toBe(true);
    return spentInChart(page);
  }

  async function spentInLedger(): Promise<string> {
    const usage = await stack.admin<{ data: { cost_usd: string }[] }>('GET', '/usage?interval=total');
    return usage.data[0]!.cost_usd;
  }
});
