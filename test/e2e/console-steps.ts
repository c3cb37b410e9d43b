/** Steps of people in the console, by what they read on it. */
import OpenAI from 'openai';
import type { Page } from 'playwright-core';
import { en } from '../../src/console/messages/en.ts';
import type { Messages } from '../../src/console/messages/messages.ts';
import { ADMIN_KEY } from './stack.ts';

/** The console draws and moves the focus after what it was told: on a busy machine that takes longer. */
export const PATIENT = { timeout: 60_000 };

export async function signIn(page: Page, key: string, words: Messages = en): Promise<void> {
  await page.getByLabel(words.signIn.key).fill(key);
  await page.getByRole('button', { name: words.signIn.submit }).click();
}

export async function signInAsAdmin(page: Page, words: Messages = en): Promise<void> {
  await signIn(page, ADMIN_KEY, words);
  await page.getByRole('button', { name: words.app.signOut }).waitFor();
}

/** Goes to a page by its link, as people do. */
export async function goTo(page: Page, name: string): Promise<void> {
  await page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
  await page.getByRole('heading', { level: 1, name }).waitFor();
}

/** The dialog that a button opens. */
export async function openDialog(page: Page, button: string | RegExp) {
  await page.getByRole('button', { name: button }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  return dialog;
}

/** What stands under a label in the row of key figures. */
export function figure(page: Page, label: string) {
  return page.locator('.figure', { has: page.getByText(label, { exact: true }) }).locator('.figure-value');
}

const CALLS_MAX = 200;

/** Calls with the official SDK until a budget refuses; answers how many went through. */
export async function spendUntilDenied(baseURL: string, apiKey: string): Promise<number> {
  const client = new OpenAI({ baseURL, apiKey, organization: null, project: null });
  for (let calls = 0; calls < CALLS_MAX; calls++) {
    try {
      await client.chat.completions.create({
        model: 'gpt-4o',
        messages: [{ role: 'user', content: 'Hello' }],
        max_completion_tokens: 100,
      });
    } catch (error) {
      if (error instanceof OpenAI.RateLimitError && error.code === 'insufficient_quota') return calls;
      throw error;
    }
  }
  throw new Error(`nothing was refused in ${CALLS_MAX} calls`);
}
