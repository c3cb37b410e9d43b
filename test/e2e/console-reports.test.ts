/** Money by what it is for, in the console: tags with their limits, savings, models compared, labels by keyboard. */
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { en } from '../../src/console/messages/en.ts';
import { hasBrowser, launchBrowser, type Visit, visit } from './browser.ts';
import { figure, goTo, openDialog, signIn, signInAsAdmin } from './console-steps.ts';
import { until } from './crash-gateway.ts';
import { type Stack, startStack } from './stack.ts';

const WAIT_MS = 30_000;
const CALL = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }], max_completion_tokens: 50 };
const PROJECTS = ['alpha', 'beta', 'gamma'];

interface LabelList {
  data: { call_id: string; label: string; reason: string | null }[];
}

describe.skipIf(!hasBrowser)('reports in the console', { timeout: 120_000 }, () => {
  let stack: Stack;
  let browser: Browser;
  let team: { teamId: string; key: string };
  const visits: Visit[] = [];
  beforeAll(async () => {
    stack = await startStack({ env: { TOLLGATE_ENCRYPTION_KEY: 'ab'.repeat(32) } });
    browser = await launchBrowser();
    team = await stack.team({ unlimited: true });
  }, 120_000);
  afterEach(() => Promise.all(visits.splice(0).map((each) => each.close())));
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  });
  const open = async (path: string) => {
    const opened = await visit(browser, stack.app.url, { locale: 'en-US', colorScheme: 'light' });
    visits.push(opened);
    opened.page.setDefaultTimeout(WAIT_MS);
    await opened.page.goto(`/console${path}`);
    return opened;
  };

  it('allow a tag, sum the spend of its values, and put a limit on each of them', async () => {
    const { page, complaints } = await open('/tags');
    await signInAsAdmin(page);
    await page.getByText(en.tags.empty).waitFor();
    const form = await openDialog(page, en.tags.new);
    await form.getByLabel(en.common.name).fill('project');
    await form.getByLabel(en.tags.idleDays).fill('14');
    await form.getByRole('button', { name: en.tags.new }).click();
    const rules = page.getByRole('table', { name: en.tags.allowed });
    await rules.getByRole('link', { name: 'project' }).waitFor();
    await rules.getByText(en.tags.afterDays('14')).waitFor();

    for (const project of PROJECTS) {
      await until(`a call of ${project}`, async () => {
        const tags = { 'x-tollgate-tags': `project=${project}` };
        return (await stack.post(team.key, '/chat/completions', CALL, tags)).ok;
      });
    }
    await stack.post(team.key, '/chat/completions', CALL);
    await page.reload();
    const values = page.getByRole('table', { name: en.tags.spendBy('project') });
    for (const name of [...PROJECTS, en.tags.without])
      await values.getByRole('rowheader', { name }).waitFor();
    await rules.getByText('3 / 10,000').waitFor();
    await values.getByRole('link', { name: 'beta', exact: true }).click();
    await page.getByRole('heading', { name: en.tags.spendOf('project=beta') }).waitFor();

    const limit = await openDialog(page, en.limits.new);
    expect(await limit.getByLabel(en.tags.tag, { exact: true }).inputValue()).toBe('project');
    expect(await limit.getByLabel(en.tags.value).inputValue()).toBe('beta');
    await limit.getByLabel(en.tags.value).fill('');
    await limit.getByLabel(en.common.name).fill('two dollars a project');
    await limit.getByLabel(en.common.amount).fill('2');
    await limit.getByLabel(en.limits.window).selectOption('lifetime');
    await limit.getByText(en.limits.more, { exact: true }).click();
    await limit.getByLabel(en.ends.onExhausted).selectOption('slow_down');
    await limit.getByLabel(en.ends.perMinute).fill('5');
    await limit.getByText(en.limits.previewLeft, { exact: true }).waitFor();
    await limit.getByRole('button', { name: en.limits.new }).click();
    await page
      .getByRole('table', { name: en.nav.limits })
      .getByText(en.limits.ofTag('project', null))
      .waitFor();
    const { data } = await stack.admin<{ data: { name: string; subject: object }[] }>(
      'GET',
      '/limits?subject_type=tag',
    );
    expect(data).toMatchObject([
      {
        name: 'two dollars a project',
        subject: { type: 'tag', name: 'project', value: null },
        on_exhausted: { action: 'slow_down', calls_per_minute: 5, from_percent: 80 },
      },
    ]);

    await values.getByRole('link', { name: `${en.tags.itsCalls} gamma` }).click();
    await page.getByRole('heading', { level: 1, name: en.nav.calls }).waitFor();
    await expect
      .poll(() => page.getByRole('table', { name: en.calls.list }).locator('tbody tr').count(), {
        timeout: WAIT_MS,
      })
      .toBe(1);
    expect(complaints).toEqual([]);
  });

  it('label calls by keyboard alone, and compare models by what was said', async () => {
    for (let call = 0; call < 3; call++) {
      await until('a call', async () => (await stack.post(team.key, '/chat/completions', CALL)).ok);
    }
    await stack.settled();
    const { page, complaints, faults } = await open('/labels');
    await signInAsAdmin(page);
    const calls = page.getByRole('table', { name: en.labels.queue });
    await calls.getByRole('rowheader').first().getByRole('button').focus();
    const all = await calls.locator('tbody tr').count();
    await page.keyboard.press('a');
    await page.getByText(en.labels.done(en.labels.names.accepted, all - 1)).waitFor();
    await page.keyboard.press('j');
    await page.getByLabel(en.limits.reason).fill('made up');
    await page.keyboard.press('Tab');
    await page.keyboard.press('r');
    await page.getByText(en.labels.done(en.labels.names.rejected, all - 2)).waitFor();
    // Letters in the field are text.
    await page.getByLabel(en.limits.reason).pressSequentially('are');
    await page.getByRole('button', { name: en.labels.verbs.edited }).click();
    await page.getByText(en.labels.done(en.labels.names.edited, all - 3)).waitFor();
    const { data } = await stack.admin<LabelList>('GET', '/labels?order=desc');
    expect(data.map(({ label, reason }) => [label, reason])).toEqual([
      ['edited', 'are'],
      ['rejected', 'made up'],
      ['accepted', null],
    ]);
    expect(await faults()).toEqual([]);

    await page.reload();
    await expect.poll(() => calls.locator('tbody tr').count(), { timeout: WAIT_MS }).toBe(all - 3);
    await page.getByRole('radio', { name: en.labels.shows.given }).check();
    await page.getByRole('table', { name: en.labels.shows.given }).getByText('made up').waitFor();
    await goTo(page, en.nav.models);
    const models = page.getByRole('table', { name: en.models.list });
    await models.getByText(en.models.labels('1', '1', '1')).waitFor();
    await page.getByLabel(en.calls.tag).fill('project=alpha');
    await page.keyboard.press('Enter');
    await expect
      .poll(() => models.getByText(en.common.callCount(1, '1')).count(), { timeout: WAIT_MS })
      .toBe(1);
    expect(complaints).toEqual([]);
  });

  it('show what a call said where that is kept, take the edited answer, and say who was first', async () => {
    const keeping = await stack.team({ unlimited: true });
    await stack.admin('PATCH', `/teams/${keeping.teamId}`, { content_retention_days: 7 });
    await (await stack.post(keeping.key, '/chat/completions', CALL)).text();
    // The newest comes first.
    const said = await stack.post(keeping.key, '/chat/completions', CALL);
    const id = said.headers.get('x-tollgate-request-id')!;
    const kept = () => stack.admin<{ state: string; edited_text: string }>('GET', `/events/${id}/content`);
    await until('its content', async () => (await kept()).state === 'kept');
    const first = await open(`/labels?team_id=${keeping.teamId}`);
    await signInAsAdmin(first.page);
    const answer = first.page.getByLabel(en.labels.answer);
    const { choices } = (await said.json()) as { choices: { message: { content: string } }[] };
    await expect.poll(() => answer.inputValue()).toBe(choices[0]!.message.content);
    const second = await open(`/labels?team_id=${keeping.teamId}`);
    await signInAsAdmin(second.page);
    await second.page.getByLabel(en.labels.answer).waitFor();
    await answer.fill('As it should be.');
    await first.page.getByRole('button', { name: en.labels.verbs.edited }).click();
    await first.page.getByText(en.labels.done(en.labels.names.edited, 1)).waitFor();
    expect(await kept()).toMatchObject({ edited_text: 'As it should be.' });

    const { data } = await stack.admin<{ data: { labeller: string }[] }>('GET', `/labels?call_id=${id}`);
    await second.page.getByRole('rowheader').first().getByRole('button').focus();
    await second.page.keyboard.press('j');
    await second.page.keyboard.press('k');
    await second.page.getByText(en.labels.meanwhile(en.labels.names.edited, data[0]!.labeller)).waitFor();
    await second.page.keyboard.press('r');
    await second.page.getByText(en.labels.done(en.labels.names.rejected, 1)).waitFor();
    await second.page.goto(`/console/calls/${id}`);
    await second.page.getByRole('table', { name: en.nav.labels }).getByText(data[0]!.labeller).waitFor();
    await second.page.getByRole('button', { name: en.labels.show }).click();
    await second.page.getByText('As it should be.').waitFor();
    // A second opinion is of calls that only others labelled.
    await second.page.goto(`/console/labels?team_id=${keeping.teamId}&labelled=others`);
    await second.page.getByText(en.labels.queueEmpty).waitFor();
    for (const { complaints } of [first, second]) expect(complaints).toEqual([]);
  });

  it('show what could be cheaper with the request that shows its rows', async () => {
    const { page, complaints } = await open('/savings');
    await signInAsAdmin(page);
    await figure(page, en.savings.kinds.cheaper_model).getByText('$0.').waitFor();
    await page
      .getByRole('table', { name: en.savings.kinds.cheaper_model })
      .getByText(/ instead$/)
      .waitFor();
    await page.getByText(`${en.savings.how} ${en.savings.kinds.cheaper_model}`).click();
    const rows = page.getByRole('link', { name: /usage\?group_by=model/ }).last();
    const answer = await page.request.get((await rows.getAttribute('href'))!);
    expect((await answer.json()).data).toMatchObject([{ model: 'gpt-4o' }]);
    expect(complaints).toEqual([]);
  });

  it('offer a session of a team what it may see', async () => {
    const { page, complaints } = await open('/labels');
    await signIn(page, team.key);
    await page.getByRole('heading', { level: 1, name: en.nav.labels }).waitFor();
    await page.getByRole('table', { name: en.labels.shows.given }).getByText('made up').waitFor();
    expect(await page.getByRole('radio', { name: en.labels.shows.queue }).count()).toBe(0);
    for (const name of [en.nav.tags, en.nav.reconciliation, en.nav.people])
      expect(await page.getByRole('link', { name, exact: true }).count()).toBe(0);
    await goTo(page, en.nav.savings);
    await page.getByRole('table', { name: en.savings.kinds.cheaper_model }).waitFor();
    expect(complaints).toEqual([]);
  });
});
