/** 简体中文。 */
import type { Messages } from './messages.ts';
import { budgets } from './zh/budgets.ts';
import { ledger } from './zh/ledger.ts';
import { people } from './zh/people.ts';
import { planner } from './zh/planner.ts';
import { reconciliation } from './zh/reconciliation.ts';
import { reports } from './zh/reports.ts';
import { shell } from './zh/shell.ts';

export const zh: Messages = {
  ...shell,
  ...budgets,
  ...ledger,
  ...planner,
  ...people,
  ...reconciliation,
  ...reports,
};
