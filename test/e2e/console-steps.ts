/** Steps of people in the console, by what they read on it. */
import type { Page } from 'playwright-core';
import { en } from '../../src/console/words/en.ts';
import type { Words } from '../../src/console/words/words.ts';
import { ADMIN_KEY } from './stack.ts';

export async function signIn(page: Page, key: string, words: Words = en): Promise<void> {
  await page.getByLabel(words.signIn.key).fill(key);
  await page.getByRole('button', { name: words.signIn.submit }).click();
}

export async function signInAsAdmin(page: Page, words: Words = en): Promise<void> {
  await signIn(page, ADMIN_KEY, words);
  await page.getByRole('button', { name: words.app.signOut }).waitFor();
}
