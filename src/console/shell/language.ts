/** English or Chinese: as the browser says, until somebody says otherwise here. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { en } from '../words/en.ts';
import type { Words } from '../words/words.ts';
import { zh } from '../words/zh.ts';
import { recall, remember } from './memory.ts';

export type Language = 'en' | 'zh';

const NAME = 'tollgate-language';
const DICTIONARIES: Record<Language, Words> = { en, zh };

/** The first language of the browser that there are words for. */
export function firstLanguage(): Language {
  const chosen = recall(NAME);
  if (chosen === 'en' || chosen === 'zh') return chosen;
  for (const tag of navigator.languages) {
    if (/^zh\b/i.test(tag)) return 'zh';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

export function rememberLanguage(language: Language): void {
  remember(NAME, language);
}

export const LanguageContext = createContext<Language>('en');

export function useLanguage(): Language {
  return useContext(LanguageContext);
}

export function useWords(): Words {
  return DICTIONARIES[useContext(LanguageContext)];
}
