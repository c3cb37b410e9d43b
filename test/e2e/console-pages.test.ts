/** Every page of the console: both languages, both themes, keyboard, screen reader, a narrow window. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { en } from '../../src/console/messages/en.ts';
import { zh } from '../../src/console/messages/zh.ts';
import { writeReconciliation } from '../../src/store/reconciliation.ts';
import { hasBrowser, type Look, launchBrowser, type Visit, visit } from './browser.ts';
import { goTo, openDialog, PATIENT, signIn, signInAsAdmin } from './console-steps.ts';
import { until } from './crash-gateway.ts';
import { type Stack, startStack } from './stack.ts';

/** Each walk looks at its pages in both themes: so every language is seen in every theme. */
const LOOKS: (Look & { words: typeof en })[] = [
  { locale: 'en-US', colorScheme: 'light', words: en },
  { locale: 'zh-CN', colorScheme: 'dark', words: zh },
];

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };

/** A hundred examples of fourteen tokens, and a line that is none. */
const EXAMPLE = {
  messages: [
    { role: 'user', content: 'hello world' },
    { role: 'assistant', content: 'yes' },
  ],
};
const TRAINING_FILE = {
  name: 'training.jsonl',
  mimeType: 'application/jsonl',
  buffer: Buffer.from(`${`${JSON.stringify(EXAMPLE)}\n`.repeat(100)}{`),
};

/** What axe finds on the page in the other theme, then in the one that it was opened in. */
async function faultsInBothThemes({ page, faults }: Visit, colorScheme: Look['colorScheme']) {
  const found: string[] = [];
  for (const theme of [colorScheme === 'dark' ? 'light' : 'dark', colorScheme] as const) {
    await changeSystemTheme(page, theme);
    found.push(...(await faults()).map((fault) => `${theme}: ${fault}`));
  }
  return found;
}

/** A browser on a busy machine may lose such a change, which then comes again. */
async function changeSystemTheme(page: Page, colorScheme: Look['colorScheme']): Promise<void> {
  for (let tries = 4; ; tries--) {
    await page.emulateMedia({ colorScheme });
    const html = page.locator(`html[data-theme="${colorScheme}"]`);
    try {
      return await html.waitFor({ timeout: 10_000 });
    } catch (error) {
      if (tries === 1) throw error;
      await page.emulateMedia({ colorScheme: colorScheme === 'dark' ? 'light' : 'dark' });
    }
  }
}

/** The tables that are wider than their place. */
const WIDE_TABLES = `[...document.querySelectorAll('.table-scroll')]
  .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.getAttribute('aria-label'))`;

/** Everything that was asked for has been answered. */
const loaded = (page: Page) =>
  expect.poll(() => page.locator('.loading').count(), { timeout: 30_000 }).toBe(0);

describe.skipIf(!hasBrowser)('every page of the console', { timeout: 180_000 }, () => {
  let stack: Stack;
  let browser: Browser;
  let team: { teamId: string; key: string };
  let other: { teamId: string; key: string };
  let callId: string;
  let jobId: string;
  const visits: Visit[] = [];
  beforeAll(async () => {
    stack = await startStack({ env: { TOLLGATE_JOB_POLL_MS: '50' } });
    browser = await launchBrowser();
    team = await stack.team({ grantUsd: '18.00', limitUsd: '5.00' });
    other = await stack.team({ limitUsd: '0.000001' });
    const company = await stack.admin<{ id: string }>('POST', '/departments', { name: 'company' });
    const research = await stack.admin<{ id: string }>('POST', '/departments', {
      ...{ name: 'research', parent_id: company.id },
    });
    await stack.admin('PATCH', `/teams/${team.teamId}`, { department_id: research.id });
    await stack.admin('POST', '/limits', {
      ...{ subject: { type: 'department', id: company.id }, meter: 'cost_usd', amount: '50.00' },
      window: { type: 'calendar', unit: 'quarter', time_zone: 'UTC', start_month: 2 },
    });
    const budget = { meter: 'cost_usd', amount: '2.00', window: { type: 'lifetime' } };
    await stack.admin('POST', '/tags', { name: 'project', required: false });
    await stack.admin('POST', '/tags', { name: 'stage', values: ['test', 'production'] });
    await stack.admin('POST', '/limits', { subject: { type: 'tag', name: 'project' }, ...budget });
    await stack.admin('POST', '/limits', {
      ...{ name: 'alpha in all', subject: { type: 'tag', name: 'project', value: 'alpha' }, ...budget },
    });
    await stack.admin('POST', '/people', { user_name: 'ada@example.com', display_name: 'Ada' });
    await until('the tag to be known', async () => {
      const answer = await stack.post(team.key, '/chat/completions', CALL, {
        'x-tollgate-tags': 'project=alpha',
      });
      return answer.ok;
    });
    await stack.post(team.key, '/chat/completions', CALL);
    await stack.post(team.key, '/chat/completions', CALL, { 'x-simulator': 'fault=cut_before_headers' });
    await stack.post(other.key, '/chat/completions', CALL);
    const events = await stack.admin<{ data: { id: string }[] }>('GET', `/events?team_id=${team.teamId}`);
    callId = events.data[0]!.id;
    await stack.admin('POST', '/labels', { call_id: callId, label: 'rejected', reason: 'made up' });
    await stack.post(team.key, '/responses', {
      ...{ model: 'gpt-4.1', input: 'Say it.', max_output_tokens: 200, background: true },
    });
    await until('the end of the job', async () => {
      const jobs = await stack.admin<{ data: { id: string; state: string }[] }>('GET', '/jobs?state=settled');
      jobId = jobs.data[0]?.id ?? '';
      return jobId !== '';
    });
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
  const paths = () => [
    '',
    '/departments',
    '/teams',
    `/teams/${team.teamId}`,
    '/keys',
    '/limits',
    '/tags',
    '/tags?name=project&value=alpha',
    '/plans',
    '/prices',
    '/prices?show=changes',
    '/upstreams',
    '/planner',
    '/planner?kind=pretrain',
    '/calls',
    `/calls/${callId}`,
    '/jobs',
    '/jobs?state=running',
    '/savings',
    '/models',
    '/models?tag=project%3Dalpha',
    '/labels',
    '/labels?show=given',
    '/people',
    '/sessions',
    '/notices',
    '/reconciliation',
    '/audit',
    '/nothing-here',
  ];

  describe.each(LOOKS)('in $locale, from $colorScheme', ({ words, ...look }) => {
    it('axe finds no serious problem in either theme, and there is no error and no request to other hosts', async () => {
      const visited = await open(look);
      const { page, complaints, faults } = visited;
      await page.goto('/console');
      await page.getByRole('heading', { name: words.signIn.title }).waitFor();
      expect(await faults()).toEqual([]);
      await signInAsAdmin(page, words);
      expect(await page.locator('html').getAttribute('lang')).toBe(look.locale === 'zh-CN' ? 'zh-CN' : 'en');
      expect(await page.locator('html').getAttribute('data-theme')).toBe(look.colorScheme);
      for (const path of paths()) {
        await page.goto(`/console${path}`);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await loaded(page);
        expect(await faultsInBothThemes(visited, look.colorScheme), path).toEqual([]);
        if (path.startsWith('/models')) expect(await page.evaluate(WIDE_TABLES), path).toEqual([]);
      }
      await page.goto('/console/planner?kind=fine_tune');
      await page.getByLabel(words.planner.fields.file!).setInputFiles(TRAINING_FILE);
      await page.getByRole('button', { name: words.planner.submit }).click();
      await page.getByRole('heading', { name: words.planner.problems('1') }).waitFor();
      await page.getByText('$0.0042', { exact: true }).waitFor();
      expect(await faults(), 'an estimate of a file').toEqual([]);
      expect(complaints).toEqual([]);
    });

    it('axe finds no serious problem in the dialogs in either theme', async () => {
      const visited = await open(look);
      const { page, complaints } = visited;
      await page.goto('/console/limits');
      await signInAsAdmin(page, words);
      for (const [pageName, button] of [
        [words.nav.limits, words.limits.new],
        [words.nav.tags, words.tags.new],
        [words.nav.keys, words.keys.new],
        [words.nav.keys, new RegExp(`^${words.keys.rotate}`)],
        [words.nav.plans, words.plans.new],
        [words.nav.prices, words.prices.new],
        [words.nav.teams, words.teams.new],
        [words.nav.departments, words.departments.new],
        [words.nav.people, words.people.new],
        [words.nav.people, words.tokens.new],
      ] as const) {
        await goTo(page, pageName);
        const dialog = await openDialog(page, button);
        expect(await faultsInBothThemes(visited, look.colorScheme), String(button)).toEqual([]);
        await page.keyboard.press('Escape');
        await dialog.waitFor({ state: 'detached' });
      }
      expect(complaints).toEqual([]);
    });
  });

  it('fits a narrow window', async () => {
    const { page } = await open({ viewport: { width: 390, height: 800 } });
    await page.goto('/console');
    await signInAsAdmin(page);
    for (const path of paths()) {
      await page.goto(`/console${path}`);
      await loaded(page);
      expect(await page.evaluate('document.documentElement.scrollWidth'), path).toBeLessThanOrEqual(390);
    }
  });

  it('can be used by keyboard alone', async () => {
    const { page } = await open();
    await page.goto('/console/keys');
    await signInAsAdmin(page);
    await page.reload();
    await page.getByRole('heading', { level: 1, name: en.nav.keys }).waitFor();
    await page.keyboard.press('Tab');
    await expect.poll(() => page.evaluate('document.activeElement.textContent'), PATIENT).toBe(en.app.skip);
    await page.keyboard.press('Enter');
    await expect.poll(() => page.evaluate('document.activeElement.id'), PATIENT).toBe('content');

    await loaded(page);
    const opener = page.getByRole('button', { name: en.keys.new });
    await opener.focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    for (let tabs = 0; tabs < 20; tabs++) {
      await page.keyboard.press('Tab');
      // Beyond the last field the browser's own controls have their turn; nothing behind the dialog ever has.
      expect(
        await page.evaluate(
          'document.activeElement === document.body || !!document.activeElement.closest("dialog")',
        ),
      ).toBe(true);
    }
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe(en.keys.new);
  });

  it('keeps the chosen language and theme', async () => {
    const { page } = await open();
    await page.goto('/console');
    await signInAsAdmin(page);
    await page.getByRole('radio', { name: '中文' }).check();
    await page.getByRole('heading', { level: 1, name: zh.nav.overview }).waitFor();
    await page.getByRole('radio', { name: zh.app.themes.dark }).check();
    await page.reload();
    await page.getByRole('heading', { level: 1, name: zh.nav.overview }).waitFor();
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark');
    await expect.poll(() => page.title(), PATIENT).toBe(`${zh.nav.overview} · Tollgate`);
  });

  it('shows a session of a team that team alone, and no control that changes anything', async () => {
    const { page, complaints } = await open();
    await page.goto('/console');
    await signIn(page, team.key);
    await page.getByText(en.app.readOnly).waitFor();
    for (const name of [en.nav.keys, en.nav.limits, en.nav.calls, en.nav.jobs]) await goTo(page, name);
    expect(await page.getByRole('link', { name: en.nav.audit }).count()).toBe(0);
    await page.getByRole('link', { name: en.nav.team, exact: true }).click();
    await page.getByRole('table', { name: en.nav.limits }).waitFor();
    expect(
      await page
        .locator('main')
        .getByRole('button', { name: /New|Change|Delete|Revoke|Release/ })
        .count(),
    ).toBe(0);
    expect(complaints).toEqual([]);
    await page.goto(`/console/teams/${other.teamId}`);
    await page.getByText(en.common.failed).first().waitFor();
    await page.goto('/console/audit');
    await page.getByRole('heading', { level: 1, name: en.app.notFound }).waitFor();
  });

  it('lists jobs, filters them by state and team, and leads to the call of each', async () => {
    const { page, complaints } = await open();
    await page.goto('/console/jobs');
    await signInAsAdmin(page);
    const job = page.getByRole('table', { name: en.jobs.list }).getByRole('row').nth(1);
    await job.getByText(en.jobs.kinds.response).waitFor();
    await page.getByLabel(en.common.state, { exact: true }).selectOption('unknown');
    await page.getByText(en.jobs.empty).waitFor();
    await page.getByText(en.jobs.emptyText).waitFor();
    await page.getByLabel(en.common.state, { exact: true }).selectOption('settled');
    await job.waitFor();
    await page.getByLabel(en.common.team, { exact: true }).selectOption(other.teamId);
    await page.getByText(en.jobs.empty).waitFor();
    await page.getByLabel(en.common.team, { exact: true }).selectOption(team.teamId);
    await job.locator(`a[href="/console/teams/${team.teamId}"]`).waitFor();
    await job.locator(`a[href="/console/calls/${jobId}"]`).click();
    await page.getByRole('heading', { level: 1, name: en.call.title }).waitFor();
    expect(complaints).toEqual([]);
  });

  it('says what to set while nothing is reconciled, names differences of a day, and posts one', async () => {
    const { page, complaints, faults } = await open();
    await page.goto('/console/reconciliation');
    await signInAsAdmin(page);
    await page.getByText(en.reconciliation.off).waitFor();
    await page.getByText('OPENAI_ADMIN_KEY').waitFor();
    await addDay(stack);
    for (const words of [en, zh]) {
      if (words === zh) await page.getByRole('radio', { name: '中文' }).check();
      await page.goto('/console/reconciliation');
      await page
        .getByRole('table', { name: words.reconciliation.days })
        .getByRole('link', { name: BILL_DAY })
        .click();
      const table = page.getByRole('table', { name: words.reconciliation.ofDay(BILL_DAY) });
      await table.getByRole('rowheader', { name: words.reconciliation.kinds.unexplained }).waitFor();
      await table.getByRole('rowheader', { name: words.reconciliation.kinds.late_batch }).waitFor();
      await table.getByText(words.reconciliation.evensOut).waitFor();
      expect(await faults()).toEqual([]);
    }
    const dialog = await openDialog(page, new RegExp(`^${zh.reconciliation.post}`));
    expect(await faults()).toEqual([]);
    await dialog.getByLabel(zh.team.releaseReason).fill('the bill');
    await dialog.getByLabel(zh.reconciliation.bearer).selectOption(other.teamId);
    await dialog.getByRole('button', { name: zh.reconciliation.post }).click();
    await page.getByText(zh.reconciliation.isPosted, { exact: true }).first().waitFor();
    const { data } = await stack.admin<{ data: { operation: string; cost_usd: string }[] }>(
      'GET',
      `/events?team_id=${other.teamId}&operation=reconciliation`,
    );
    expect(data.map(({ cost_usd: cost }) => cost)).toEqual(['1.00']);
    expect(complaints).toEqual([]);
  });

  it('settles an unknown outcome by evidence', async () => {
    const { page, complaints } = await open();
    await page.goto(`/console/teams/${team.teamId}`);
    await signInAsAdmin(page);
    // Not the button that releases many.
    const dialog = await openDialog(page, new RegExp(`^${en.team.release}(?! many)`));
    await dialog.getByLabel(en.team.releaseCost).fill('0');
    await dialog.getByLabel(en.team.releaseReason).fill('not on the invoice');
    await dialog.getByRole('button', { name: en.team.release }).click();
    await page.getByText(en.team.released).waitFor();
    await page.getByRole('heading', { level: 2, name: en.team.unknownTitle }).waitFor({ state: 'detached' });
    expect(complaints).toEqual([]);
  });
});

const BILL_DAY = '2026-11-02';

/** A day of the bill that is final, with a dollar that nothing explains. */
async function addDay({ database }: Stack): Promise<void> {
  const nothing = { with: [], tier: null, apiKeyId: null, quantity: null, corrected: 0n, calls: 0 };
  const model = 'gpt-4o-mini-2024-07-18';
  await writeReconciliation(
    database,
    {
      day: BILL_DAY,
      upstream: null,
      ownKeys: ['key_1'],
      isFinal: true,
      at: new Date('2026-11-06T00:00:00Z'),
    },
    {
      ...{ billed: 3n * USD, charged: 3n * USD, corrected: 0n, unexplained: USD },
      differences: [
        {
          ...nothing,
          id: `unexplained/${model}/-/-/-`,
          kind: 'unexplained',
          model,
          lineItem: `${model}, input`,
          amount: USD,
        },
        {
          ...nothing,
          id: `late_batch/${model}/batch/-/-`,
          kind: 'late_batch',
          model,
          lineItem: null,
          amount: -USD,
        },
      ],
    },
  );
}

const USD = 10n ** 12n;
