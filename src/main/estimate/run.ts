/**
 * The command `tollgate estimate`. Owns: which prices it reckons with, and what is printed where. Nothing is sent to any
 * upstream, and no database is started: without DATABASE_URL the prices are those of the seed.
 */
import type { z } from 'zod';
import { NewEstimate } from '../../admin/contract/estimates.ts';
import { type ApiError, isApiError } from '../../domain/errors.ts';
import { issueText } from '../../domain/issue-text.ts';
import { RateCards } from '../../domain/price.ts';
import { type PriceBook, priceBook } from '../../planner/book.ts';
import { countTrainingFile } from '../../planner/count-file.ts';
import { estimate } from '../../planner/estimate.ts';
import { readSeed } from '../../store/seed/read-seed.ts';
import { orCannotStart } from '../open.ts';
import { type EstimateLine, inFlags, readEstimateLine } from './options.ts';
import { readPieces } from './pieces.ts';
import { renderCsv, renderText } from './render.ts';

/** The world around the command. */
export interface EstimateWorld {
  env: Readonly<Record<string, string | undefined>>;
  nowMs: number;
  stdout(text: string): void;
  stderr(text: string): void;
  /** Whether people look at stderr as it is written; else no progress is shown. */
  isTerminal: boolean;
}

/**
 * Runs the command; returns its exit code: 2 for a wrong line, 1 when there is no estimate, as for a wrong value.
 * @throws CannotStart when the database of DATABASE_URL cannot be read
 */
export async function runEstimate(argv: readonly string[], world: EstimateWorld): Promise<number> {
  const line = readEstimateLine(argv);
  if (line.kind === 'help') {
    world.stdout(line.text);
    return 0;
  }
  if (line.kind === 'wrong') {
    world.stderr(`tollgate: ${line.text}`);
    return 2;
  }
  const { body, file } = line;
  const fail = (message: string) => {
    world.stderr(`tollgate: estimate ${argv[0]}: ${inFlags(message)}\n`);
    return 1;
  };
  const question = NewEstimate.safeParse(file === null ? body : { ...body, file }, { error: issueText });
  if (!question.success) return fail(issueOf(question.error));
  const answer = await answerTo(question.data, line, world);
  if (isApiError(answer)) return fail(answer.message);
  world.stdout(answer);
  return 0;
}

async function answerTo(
  question: z.output<typeof NewEstimate>,
  { file, format }: Extract<EstimateLine, { kind: 'run' }>,
  world: EstimateWorld,
): Promise<string | ApiError> {
  const found = await estimate(question, {
    readBook: () => readBook(world.env.DATABASE_URL),
    countTraining: (job) => readPieces(file ?? '', world, (pieces) => countTrainingFile(job, pieces)),
    readBatch: (push) =>
      readPieces(file ?? '', world, async (pieces) => {
        for await (const piece of pieces) push(piece);
        return null;
      }),
    nowMs: world.nowMs,
  });
  if (isApiError(found)) return found;
  if (format === 'json') return `${JSON.stringify(found, null, 2)}\n`;
  return format === 'csv' ? renderCsv(found) : renderText(found);
}

/** The first fault of a question. */
function issueOf({ issues: [issue] }: z.ZodError): string {
  return `${String(issue?.path[0] ?? '')}: ${issue?.message}`;
}

/** The prices of the database, or those that come with Tollgate. */
async function readBook(databaseUrl: string | undefined): Promise<PriceBook> {
  const seed = readSeed();
  if (databaseUrl === undefined || databaseUrl === '')
    return priceBook(new RateCards(seed.prices, seed.models), seed.prices, seed.training);
  // Without Drizzle, which would take as much memory as the tokeniser.
  const { closeClient, openClient } = await import('../../store/connection/sql.ts');
  const { readSourcedPrices } = await import('../../store/rate-cards.ts');
  const { publicName } = await import('../../store/connection/address.ts');
  return orCannotStart(
    async () => {
      const sql = openClient(databaseUrl, 1);
      try {
        const { cards, rows } = await readSourcedPrices(sql);
        return priceBook(cards, rows, seed.training);
      } finally {
        await closeClient(sql);
      }
    },
    (why) =>
      `cannot read prices from the database ${publicName(databaseUrl)}: ${why}. Check DATABASE_URL, or unset it to use the prices that come with Tollgate`,
  );
}
