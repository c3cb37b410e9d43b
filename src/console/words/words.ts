/** What a dictionary has: the English one is the pattern, so a word that another lacks does not compile. */
import type { en } from './en.ts';

export type Words = typeof en;
