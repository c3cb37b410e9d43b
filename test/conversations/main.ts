/** The command `npm run conversations`: as many random conversations as are asked for, over all habits and tokenisers. */
import { parseArgs } from 'node:util';
import { play } from './play.ts';
import { HABITS, TOKENISERS } from './upstreams.ts';

const HELP = `Usage: npm run conversations -- [--count N] [--seed N]

Plays N random conversations (default 20000) of eight calls with upstreams whose tokenisers and habits the gateway does not know,
and exits with 1 when a call was held below its bill.
`;
const TOGETHER = 3;

function main(argv: string[]): number {
  const { values } = parseArgs({
    args: argv,
    options: {
      count: { type: 'string', default: '20000' },
      seed: { type: 'string', default: '1000' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const upstreams = Object.keys(HABITS).flatMap((habit) =>
    Object.keys(TOKENISERS).map((name) => [habit, name] as const),
  );
  let conversations = 0;
  let below = 0;
  let calls = 0;
  let anchored = 0;
  for (let seed = Number(values.seed); conversations < Number(values.count); seed++) {
    for (const [habit, tokeniser] of upstreams) {
      const played = play(habit, tokeniser, seed);
      conversations += TOGETHER;
      calls += played.calls;
      anchored += played.anchored;
      if (played.least >= 0) continue;
      below++;
      process.stdout.write(`below by ${-played.least} tokens: ${habit}, ${tokeniser}, seed ${seed}\n`);
    }
  }
  process.stdout.write(
    `${conversations} conversations, ${calls} calls, ${anchored} bound by earlier ones, ${below} below\n`,
  );
  return below === 0 ? 0 : 1;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION') throw error;
  process.stderr.write(`conversations: ${(error as Error).message}\n\n${HELP}`);
  process.exitCode = 1;
}
