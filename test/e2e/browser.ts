/** A real browser for the console: it talks to one origin alone, and whatever it complains about is kept. */
import { existsSync } from 'node:fs';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Nothing of its own may go out: the test fails on any request that is not the console's. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const hasBrowser = existsSync(EXECUTABLE);

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
}

export interface Visit {
  context: BrowserContext;
  page: Page;
  /** Console errors and warnings, uncaught exceptions, refused or failed requests, requests to elsewhere. */
  complaints: string[];
  /** Whatever is serious or critical on the page as it is now, by axe. */
  faults(): Promise<string[]>;
  close(): Promise<void>;
}

export interface Look {
  locale: 'en-US' | 'zh-CN';
  colorScheme: 'light' | 'dark';
  viewport?: { width: number; height: number };
  timeZone?: string;
  /** Another site that may be asked: an identity provider. */
  besides?: string;
}

export async function visit(browser: Browser, origin: string, look: Look): Promise<Visit> {
  const context = await browser.newContext({
    baseURL: origin,
    locale: look.locale,
    colorScheme: look.colorScheme,
    timezoneId: look.timeZone ?? 'Europe/Berlin',
    viewport: look.viewport ?? { width: 1280, height: 900 },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const complaints: string[] = [];
  await context.route('**/*', (route) => {
    const url = route.request().url();
    const isBesides = look.besides !== undefined && url.startsWith(`${look.besides}/`);
    if (url.startsWith(`${origin}/`) || url.startsWith('data:') || isBesides) return route.continue();
    complaints.push(`a request to elsewhere: ${url}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()))
      complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.stack}`));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
  });
  return { context, page, complaints, faults: () => faultsOf(page), close: () => context.close() };
}

interface Violation {
  id: string;
  impact: string;
  nodes: { html: string; failureSummary: string }[];
}

async function faultsOf(page: Page): Promise<string[]> {
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(axe.source);
  const violations = (await page.evaluate(
    'axe.run(document, { resultTypes: ["violations"] }).then((result) => result.violations)',
  )) as Violation[];
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}
