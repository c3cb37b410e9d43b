/** The bench's command line. Every fault is reported with the valid values. */
import { parseArgs } from 'node:util';
import { CASES, type Case } from './cases.ts';
import { CONTESTANTS, type ContestantName } from './contestants.ts';

export const HELP = `Usage: npm run bench -- [options]

Runs the same calls through Tollgate (everything on), a bare node:http + undici pipe that parses nothing, and
@portkey-ai/gateway, in interleaved rounds on this machine, and prints CPU per call and added latency.

  --rounds N        rounds; the table shows medians and the spread over them (default 5)
  --seconds N       seconds of each measurement (default 1)
  --only A,B        gateways: ${CONTESTANTS.join(', ')} (default all)
  --cases A,B       calls: ${CASES.map(({ name }) => name).join(', ')} (default all)
  --json FILE       also writes every number of every round
  --profile         instead of the table: where the CPU time of one gateway goes (Tollgate, or the first of --only)
  --pages           instead: fills a ledger and times every query of dashboards and pages, and the page of metrics
  --events N        events of that ledger, of 200 teams over 90 days (default 5000000)
  --help            this text
`;

export interface Options {
  rounds: number;
  seconds: number;
  contestants: ContestantName[];
  cases: Case[];
  jsonFile: string | null;
  profile: boolean;
  pages: boolean;
  events: number;
}

function chosen<T>(
  flag: string,
  text: string | undefined,
  all: readonly T[],
  nameOf: (item: T) => string,
): T[] {
  if (text === undefined) return [...all];
  return text.split(',').map((name) => {
    const item = all.find((candidate) => nameOf(candidate) === name);
    if (item === undefined) throw new Error(`${flag}: ${name} is none of ${all.map(nameOf).join(', ')}`);
    return item;
  });
}

function positive(flag: string, text: string, max = 1_000): number {
  const value = Number(text);
  if (!(value > 0 && value <= max))
    throw new Error(`${flag}: ${text} is not a number above 0 and up to ${max}`);
  return value;
}

/** Reads the arguments; null when help was asked for. Throws with a message for the user. */
export function readOptions(argv: string[]): Options | null {
  const { values } = parseArgs({
    args: argv,
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1' },
      only: { type: 'string' },
      cases: { type: 'string' },
      json: { type: 'string' },
      profile: { type: 'boolean', default: false },
      pages: { type: 'boolean', default: false },
      events: { type: 'string', default: '5000000' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    rounds: Math.ceil(positive('--rounds', values.rounds)),
    seconds: positive('--seconds', values.seconds),
    contestants: chosen('--only', values.only, CONTESTANTS, (name) => name),
    cases: chosen('--cases', values.cases, CASES, ({ name }) => name),
    jsonFile: values.json ?? null,
    profile: values.profile,
    pages: values.pages,
    events: Math.ceil(positive('--events', values.events, 100_000_000)),
  };
}
