/** All planted faults, by name. */
import { ADOPTION_FAULTS } from './adoption-faults.ts';
import { CHANGE_FAULTS } from './change-faults.ts';
import type { Fault } from './fault.ts';
import { LEDGER_FAULTS } from './ledger-faults.ts';
import { PUT_BACK_FAULTS } from './put-back-faults.ts';
import { STORE_FAULTS } from './store-faults.ts';
import { UNKNOWN_FAULTS } from './unknown-faults.ts';

export const FAULTS: readonly Fault[] = [
  ...STORE_FAULTS,
  ...LEDGER_FAULTS,
  ...ADOPTION_FAULTS,
  ...PUT_BACK_FAULTS,
  ...UNKNOWN_FAULTS,
  ...CHANGE_FAULTS,
];

/** @throws with the valid names when there is no such fault */
export function faultNamed(name: string): Fault {
  const fault = FAULTS.find((each) => each.name === name);
  if (!fault)
    throw new Error(`there is no fault ${name}; there are ${FAULTS.map((each) => each.name).join(', ')}`);
  return fault;
}
