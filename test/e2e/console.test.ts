/** The console in a real browser, on a real gateway: what an admin, finance and the holder of a key do with it. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { en } from '../../src/console/words/en.ts';
import { hasBrowser, type Look, launchBrowser, visit } from './browser.ts';
import { signIn, signInAsAdmin } from './console-steps.ts';
import { type Stack, startStack } from './stack.ts';

if (!hasBrowser) {
  process.stderr.write(
    '\n##### SKIPPED: the console in a browser. Install chromium (or set CHROMIUM) to prove it. #####\n\n',
  );
}

describe.skipIf(!hasBrowser)('the console', { timeout: 120_000 }, () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    stack = await startStack();
    browser = await launchBrowser();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  });
  const open = (look: Partial<Look> = {}) =>
    visit(browser, stack.app.url, { locale: 'en-US', colorScheme: 'light', ...look });

  it('lets nobody in without a key that is in force, and says so', async () => {
    const { page, faults } = await open();
    await page.goto('/console/teams');
    expect(await faults()).toEqual([]);
    await signIn(page, 'tga-wrong');
    await page.getByText(en.signIn.wrong).first().waitFor();
    expect(await page.getByLabel(en.signIn.key).getAttribute('aria-invalid')).toBe('true');
    await signInAsAdmin(page);
    await page.getByRole('heading', { level: 1, name: en.nav.teams }).waitFor();
    expect(await page.evaluate('document.cookie + JSON.stringify({ ...localStorage })')).toBe('{}');
  });
});
