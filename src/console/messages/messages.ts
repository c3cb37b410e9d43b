/** The type of the messages, from the English ones: a language that lacks one does not compile. */
import type { en } from './en.ts';

export type Messages = typeof en;
