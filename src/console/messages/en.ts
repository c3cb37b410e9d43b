/** English. */
import { budgets } from './en/budgets.ts';
import { ledger } from './en/ledger.ts';
import { people } from './en/people.ts';
import { planner } from './en/planner.ts';
import { reconciliation } from './en/reconciliation.ts';
import { reports } from './en/reports.ts';
import { shell } from './en/shell.ts';

export const en = { ...shell, ...budgets, ...ledger, ...planner, ...people, ...reconciliation, ...reports };
