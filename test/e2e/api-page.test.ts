/** The page on which the admin API is read and tried, in a real browser. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser, visit } from './browser.ts';
import { signIn } from './sessions.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

describe.skipIf(!hasBrowser)('/console/api', { timeout: 120_000 }, () => {
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

  it('lists every route, sends changes with the session’s token, and requests nothing from other hosts', async () => {
    const { page, context, complaints } = await visit(browser, stack.app.url, {
      locale: 'en-US',
      colorScheme: 'light',
    });
    const { cookie } = await signIn(stack.app.url, ADMIN_KEY);
    const [name, value] = cookie.split('=') as [string, string];
    await context.addCookies([{ name, value, url: stack.app.url }]);
    await page.goto('/console/api');
    const route = page.locator('.opblock-post', { has: page.locator('[data-path="/admin/v1/teams"]') });
    // Of 150 routes and tags and more, Swagger UI 5.35 has those in the page that are in sight.
    await page.locator('.opblock').first().waitFor();
    await expect
      .poll(async () => {
        await page.mouse.wheel(0, 600);
        return route.count();
      })
      .toBe(1);
    await route.locator('.opblock-summary').click();
    await route.getByRole('button', { name: 'Try it out' }).click();
    await route.locator('textarea').fill('{"name": "tried out"}');
    await route.getByRole('button', { name: 'Execute' }).click();
    await route.locator('.live-responses-table .response-col_status', { hasText: '201' }).waitFor();
    const { data } = await stack.admin<{ data: { name: string }[] }>('GET', '/teams');
    expect(data.map((team) => team.name)).toEqual(['tried out']);
    expect(complaints).toEqual([]);
  });

  it('sends a visitor without a session to the console', async () => {
    const { page } = await visit(browser, stack.app.url, { locale: 'en-US', colorScheme: 'light' });
    await page.goto('/console/api');
    await page.waitForURL('**/console');
  });
});
