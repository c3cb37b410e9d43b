/** What a setting is: its name, default, meaning, and how it is read. */
import type { Reader } from './readers.ts';

export interface Setting<T, Default extends string | null> {
  name: string;
  /** As it would be written in the environment; null: unset means null in the Config. */
  default: Default;
  meaning: string;
  reader: Reader<T>;
}

export function setting<T, D extends string | null>(
  name: string,
  fallback: D,
  meaning: string,
  reader: Reader<T>,
): Setting<T, D> {
  return { name, default: fallback, meaning, reader };
}
