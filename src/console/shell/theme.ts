/** Light or dark: the system's setting, or the user's choice. */
import { useEffect, useState } from 'preact/hooks';
import { readSetting, writeSetting } from './storage.ts';

export type Theme = 'system' | 'light' | 'dark';

const NAME = 'tollgate-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

export function chosenTheme(): Theme {
  const text = readSetting(NAME);
  return text === 'light' || text === 'dark' ? text : 'system';
}

function isDark(): boolean {
  const theme = chosenTheme();
  return theme === 'system' ? system.matches : theme === 'dark';
}

export function setTheme(theme: Theme): void {
  writeSetting(NAME, theme === 'system' ? null : theme);
  applyTheme();
}

export function applyTheme(): void {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
  for (const listener of listeners) listener();
}

/** True: dark. Draws again when it changes, for what is painted rather than styled. */
export function useIsDark(): boolean {
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const listener = () => setDark(isDark());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return dark;
}

system.addEventListener('change', applyTheme);
