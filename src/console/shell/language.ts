/** English or Chinese: the browser's language, or the user's choice. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { en } from '../messages/en.ts';
import type { Messages } from '../messages/messages.ts';
import { zh } from '../messages/zh.ts';
import { readSetting, writeSetting } from './storage.ts';

export type Language = 'en' | 'zh';

const NAME = 'tollgate-language';
const MESSAGES: Record<Language, Messages> = { en, zh };

/** Returns the chosen language, or the first of the browser's that the console has. */
export function firstLanguage(): Language {
  const chosen = readSetting(NAME);
  if (chosen === 'en' || chosen === 'zh') return chosen;
  for (const tag of navigator.languages) {
    if (/^zh\b/i.test(tag)) return 'zh';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

export function saveLanguage(language: Language): void {
  writeSetting(NAME, language);
}

export const LanguageContext = createContext<Language>('en');

export function useLanguage(): Language {
  return useContext(LanguageContext);
}

export function useMessages(): Messages {
  return MESSAGES[useContext(LanguageContext)];
}
