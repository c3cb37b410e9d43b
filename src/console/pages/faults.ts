/** What is wrong with what was entered, in the words of the language. */
import { amountProblem } from '../money.ts';
import type { Words } from '../words/words.ts';

/** The fault of an amount; empty: none. */
export function amountFault(t: Words, text: string, zeroAllowed = false): string {
  const problem = amountProblem(text, zeroAllowed);
  if (problem === null) return '';
  return problem === 'positive' ? t.common.badPositive : t.common.badAmount;
}
