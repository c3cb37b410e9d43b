/** The bench's command line. Every error names the valid values. */
import { parseArgs } from 'node:util';
import { CASES, type Case, USUAL_CASES } from './cases.ts';
import { CONTESTANTS, type ContestantName, PEERS, USUAL_CONTESTANTS } from './contestants.ts';
import { PREVIOUS_COMMIT } from './previous.ts';

const names = (items: readonly { name: string }[]) => items.map(({ name }) => name);

export const HELP = `Usage: npm run bench -- [options]

Sends the same calls through Tollgate (everything on), an earlier build of Tollgate, and a bare node:http + undici pipe
that parses nothing, all alive at once, in interleaved rounds on this machine. Prints CPU per call, memory and start-up
of each, with ratios taken inside each round.

  --rounds N        rounds; the tables show medians and the spread over them (default 5)
  --slices N        turns that each gateway gets at a saturated case in a round (default 4)
  --seconds N       seconds of a turn (default 0.5)
  --warmup N        calls of small JSON that each gateway gets before anything counts (default 40000)
  --only A,B        gateways: ${CONTESTANTS.join(', ')}
                    (default ${USUAL_CONTESTANTS.join(',')}; workers is Tollgate with TOLLGATE_WORKERS=2)
  --peers           adds ${PEERS.join(' and ')}, which are installed into bench/.peers on first use
  --previous COMMIT the earlier build (default ${PREVIOUS_COMMIT.slice(0, 12)}), made in bench/.peers
  --cases A,B       ${names(USUAL_CASES).slice(0, 9).join(', ')},
                    ${names(USUAL_CASES).slice(9).join(', ')}
                    (default all of these), ${names(CASES.filter((one) => !USUAL_CASES.includes(one))).join(', ')}
  --latency         saturated cases: also the added latency at half of the rate that was reached
  --json FILE       also writes every number of every round
  --profile         instead of the tables: where the CPU time of one gateway goes (Tollgate, or the first of --only)
  --pages           instead: fills a ledger and times every query of dashboards and pages, and the page of metrics
  --holds           instead: how much of what is held for inputs is billed, and how far small budgets go, beside the
                    earlier build (--only tollgate: alone)
  --events N        events of that ledger, of 200 teams over 90 days (default 5000000)
  --training        instead: counts a generated training file with tollgate estimate fine-tune, beside gpt-tokenizer
                    alone on the same lines
  --megabytes N     of that file (default 500)
  --help            this text
`;

export interface Options {
  rounds: number;
  slices: number;
  seconds: number;
  warmupCalls: number;
  contestants: ContestantName[];
  previous: string;
  cases: Case[];
  latency: boolean;
  jsonFile: string | null;
  profile: boolean;
  pages: boolean;
  holds: boolean;
  events: number;
  training: boolean;
  megabytes: number;
}

function chosen<T>(
  flag: string,
  text: string | undefined,
  all: readonly T[],
  usual: readonly T[],
  nameOf: (item: T) => string,
): T[] {
  if (text === undefined) return [...usual];
  const wanted = text.split(',').map((name) => {
    const item = all.find((candidate) => nameOf(candidate) === name);
    if (item === undefined) throw new Error(`${flag}: ${name} is none of ${all.map(nameOf).join(', ')}`);
    return item;
  });
  return [...new Set(wanted)];
}

function positive(flag: string, text: string, max = 1_000): number {
  const value = Number(text);
  if (!(value > 0 && value <= max))
    throw new Error(`${flag}: ${text} is not a number above 0 and up to ${max}`);
  return value;
}

/** Returns the arguments as options; null when help was asked for. Throws with a message for the user. */
export function readOptions(argv: string[]): Options | null {
  const { values } = parseArgs({
    args: argv,
    options: {
      rounds: { type: 'string', default: '5' },
      slices: { type: 'string', default: '4' },
      seconds: { type: 'string', default: '0.5' },
      warmup: { type: 'string', default: '40000' },
      only: { type: 'string' },
      peers: { type: 'boolean', default: false },
      previous: { type: 'string', default: PREVIOUS_COMMIT },
      cases: { type: 'string' },
      latency: { type: 'boolean', default: false },
      json: { type: 'string' },
      profile: { type: 'boolean', default: false },
      pages: { type: 'boolean', default: false },
      holds: { type: 'boolean', default: false },
      events: { type: 'string', default: '5000000' },
      training: { type: 'boolean', default: false },
      megabytes: { type: 'string', default: '500' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const named = chosen('--only', values.only, CONTESTANTS, USUAL_CONTESTANTS, (name) => name);
  return {
    rounds: Math.ceil(positive('--rounds', values.rounds)),
    slices: Math.ceil(positive('--slices', values.slices)),
    seconds: positive('--seconds', values.seconds),
    warmupCalls: Math.ceil(positive('--warmup', values.warmup, 1_000_000)),
    contestants: [...new Set([...named, ...(values.peers ? PEERS : [])])],
    previous: values.previous,
    cases: chosen('--cases', values.cases, CASES, USUAL_CASES, ({ name }) => name),
    latency: values.latency,
    jsonFile: values.json ?? null,
    profile: values.profile,
    pages: values.pages,
    holds: values.holds,
    events: Math.ceil(positive('--events', values.events, 100_000_000)),
    training: values.training,
    megabytes: positive('--megabytes', values.megabytes, 10_000),
  };
}
