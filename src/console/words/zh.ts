/** 简体中文。 */
import type { Words } from './words.ts';
import { budgets } from './zh/budgets.ts';
import { ledger } from './zh/ledger.ts';
import { shell } from './zh/shell.ts';

export const zh: Words = { ...shell, ...budgets, ...ledger };
