/**
 * Makes the pictures of the console for the documentation: `npm run screenshots` writes docs/screenshots/*.png. The
 * figures are the same in every run; the dates are those of the day. Small files want `pngquant`, Chinese a font that has it
 * (Debian's pngquant and fonts-noto-cjk).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { en } from '../../src/console/messages/en.ts';
import { zh } from '../../src/console/messages/zh.ts';
import { type Look, launchBrowser, visit } from '../e2e/browser.ts';
import { openDialog, signIn } from '../e2e/console-steps.ts';
import { type Company, openCompany } from './company-stack.ts';

const FOLDER = join(import.meta.dirname, '../../docs/screenshots');
const SIZE = { width: 1280, height: 860 };
/** Where the day is old enough for its figures to be worth a picture. */
const timeZone = [
  'Europe/Berlin',
  'America/New_York',
  'America/Los_Angeles',
  'Pacific/Auckland',
  'Asia/Shanghai',
]
  .map((zone) => ({ zone, off: Math.abs(hourIn(zone) - 16) }))
  .sort((a, b) => a.off - b.off)[0]!.zone;
const ENGLISH: Look = { locale: 'en-US', colorScheme: 'light', viewport: SIZE, timeZone };
const CHINESE_AND_DARK: Look = { locale: 'zh-CN', colorScheme: 'dark', viewport: SIZE, timeZone };

// Without such a font the browser draws boxes, and no fault.
const fonts = spawnSync('fc-list', [':lang=zh']);
if (fonts.error === undefined && fonts.stdout.length === 0)
  throw new Error("No font here has Chinese: install one, for example Debian's fonts-noto-cjk.");

interface Shot {
  name: string;
  path: string;
  /** What is done on the page before the picture. */
  act?: (page: Page) => Promise<void>;
}

function shots(company: Company, callId: string): Shot[] {
  return [
    { name: 'overview', path: '' },
    { name: 'teams', path: '/teams' },
    { name: 'team', path: `/teams/${company.teamIds.get('research')}` },
    { name: 'keys', path: '/keys' },
    {
      name: 'limits',
      path: '/limits',
      async act(page) {
        const dialog = await openDialog(page, new RegExp(`^${en.common.change} \\$400(?:\\.00)?$`));
        await dialog.getByLabel(en.common.amount).fill('250');
        await dialog.getByText(en.limits.previewLeft, { exact: true }).waitFor();
      },
    },
    {
      name: 'plans',
      path: '/plans',
      async act(page) {
        const dialog = await openDialog(page, `${en.common.change} free-tier`);
        await dialog.getByLabel(en.common.amount).first().fill('50');
        await dialog.getByText(en.plans.previewTotal('$50.00')).waitFor();
      },
    },
    { name: 'departments', path: '/departments' },
    { name: 'tags', path: '/tags?name=project' },
    { name: 'savings', path: '/savings' },
    { name: 'models', path: '/models' },
    { name: 'labels', path: '/labels' },
    { name: 'notices', path: '/notices' },
    {
      name: 'raise',
      path: '/tags?name=project',
      async act(page) {
        const dialog = await openDialog(page, `${en.limits.raise} Atlas, a month`);
        await dialog.getByLabel(en.limits.raiseBy).fill('300');
        await dialog.getByLabel(en.limits.reason).fill('the conference');
      },
    },
    { name: 'prices', path: '/prices?model=gpt-5' },
    { name: 'calls', path: '/calls' },
    { name: 'call', path: `/calls/${callId}` },
    { name: 'audit', path: '/audit' },
  ];
}

const company = await openCompany();
const browser = await launchBrowser();
try {
  mkdirSync(FOLDER, { recursive: true });
  const events = await company.admin<{ data: { id: string }[] }>(
    'GET',
    `/events?team_id=${company.teamIds.get('support')}&order=desc&limit=1`,
  );
  await take('', ENGLISH, shots(company, events.data[0]!.id));
  await papers();
  await take('-zh-dark', CHINESE_AND_DARK, [
    { name: 'overview', path: '' },
    { name: 'models', path: '/models' },
  ]);
} finally {
  await browser.close();
  await company.close();
}

/** What leaves the console: the statement of a division, to print, and the digest of the month, a mail. */
async function papers(): Promise<void> {
  const { page, close } = await visit(browser, company.url, ENGLISH);
  await page.goto('/console');
  await signIn(page, company.adminKey);
  await page.getByRole('button', { name: en.app.signOut }).waitFor();
  const { data } = await company.admin<{ data: { id: string; name: string }[] }>('GET', '/departments');
  const science = data.find(({ name }) => name === 'Science')?.id;
  const month = new Date().toISOString().slice(0, 7);
  await page.goto(`/admin/v1/departments/${science}/statement?month=${month}`);
  await picture(page, 'statement');
  await page.goto('about:blank');
  await page.setContent(await company.digest());
  await picture(page, 'digest');
  await close();
}

function hourIn(timeZone: string): number {
  return Number(new Intl.DateTimeFormat('en', { timeZone, hour: 'numeric', hourCycle: 'h23' }).format());
}

async function take(suffix: string, look: Look, list: Shot[]): Promise<void> {
  const { page, complaints, close } = await visit(browser, company.url, look);
  await page.goto('/console');
  if (suffix === '') {
    await page.getByRole('heading', { name: en.signIn.title }).waitFor();
    await picture(page, 'sign-in');
  }
  const words = suffix === '' ? en : zh;
  await signIn(page, company.adminKey, words);
  await page.getByRole('button', { name: words.app.signOut }).waitFor();
  for (const { name, path, act } of list) {
    await page.goto(`/console${path}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('networkidle');
    await act?.(page);
    await picture(page, name + suffix);
  }
  await close();
  for (const complaint of complaints) process.stderr.write(`${complaint}\n`);
}

async function picture(page: Page, name: string): Promise<void> {
  const path = join(FOLDER, `${name}.png`);
  await page.screenshot({ path, animations: 'disabled', caret: 'hide' });
  const quantised = spawnSync('pngquant', [
    '--force',
    '--skip-if-larger',
    '--strip',
    '--output',
    path,
    '128',
    path,
  ]);
  if (quantised.error) process.stderr.write('pngquant is not installed: the pictures stay large\n');
  process.stdout.write(`docs/screenshots/${name}.png\n`);
}
