/** The command line of the simulation. Every fault is reported with the valid values. */
import { parseArgs } from 'node:util';
import type { Fault } from './faults/fault.ts';
import { faultNamed } from './faults/list.ts';
import { STEPS } from './simulate.ts';

export const HELP = `Usage: npm run simulate -- [options]

Runs the ledger on a fake clock through crashes, lost answers, a slow or dead Postgres, processes that stand still,
clients that leave, windows and grants that end, and rules that change while calls run; and judges it after every step.

  --seed N          one seed (default 1)
  --seeds A-B       all seeds from A to B
  --steps N         steps of each seed (default ${STEPS}): about three calls each
  --jobs N          seeds at the same time (default: half of the processors, at least 1)
  --break NAME      plants a fault: the run succeeds when a seed catches it (of seeds 1-800 those in which it can fire; 'all': each in turn)
  --list            the faults that can be planted
  --help            this text
`;

export interface Options {
  seeds: [first: number, last: number];
  steps: number;
  jobs: number | null;
  faults: 'none' | 'all' | Fault;
  list: boolean;
}

/** Reads the arguments; null when help was asked for. Throws with a message for the user. */
export function readOptions(argv: string[]): Options | null {
  const { values } = parseArgs({
    args: argv,
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      steps: { type: 'string', default: String(STEPS) },
      jobs: { type: 'string' },
      break: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const { seed, seeds, jobs, break: name } = values;
  if (seed !== undefined && seeds !== undefined) throw new Error('--seed and --seeds exclude each other');
  const faults = name === undefined ? 'none' : name === 'all' ? 'all' : faultNamed(name);
  return {
    seeds: seeds === undefined ? oneSeed(seed, faults !== 'none') : readRange(seeds),
    steps: count('--steps', values.steps),
    jobs: jobs === undefined ? null : count('--jobs', jobs),
    faults,
    list: values.list,
  };
}

function oneSeed(seed: string | undefined, hunting: boolean): [number, number] {
  if (seed === undefined) return hunting ? [1, 800] : [1, 1];
  const number = count('--seed', seed);
  return [number, number];
}

function readRange(text: string): [number, number] {
  const [first, last] = text.split('-').map((part) => count('--seeds', part));
  if (first === undefined || last === undefined || last < first) {
    throw new Error(`--seeds: ${text} is not a range such as 1-300`);
  }
  return [first, last];
}

function count(flag: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`${flag}: ${text} is not a whole number above 0`);
  return Number(text);
}
