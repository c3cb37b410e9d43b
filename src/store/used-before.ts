/**
 * What a limit's window has seen, by the ledger's own word. Sums come from the rollups; what these do not know (end
 * users, moments inside a quarter of an hour) comes from the events, by index.
 */
import { type SQL, sql } from 'drizzle-orm';
import type { TransactionSql } from 'postgres';
import { UNIT } from '../domain/claim.ts';
import type { CounterSpec } from '../domain/counter.ts';
import { type Meter, ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { includesModel } from '../domain/price.ts';
import type { Transaction } from './catalog-version.ts';

const QUARTER_MS = 900_000;

type Rule = Pick<CounterSpec, 'teamId' | 'subjectType' | 'subjectId' | 'meter' | 'models'>;

interface Sum {
  model: string;
  cost: string;
  input_tokens: number;
  output_tokens: number;
  calls: number;
}

/** How much of the rule's meter was used from a moment on; null end: up to now. In the transaction of the ledger. */
export async function usedBefore(
  tx: TransactionSql,
  rule: Rule,
  fromMs: number,
  untilMs: number | null,
): Promise<bigint> {
  if (rule.meter === 'concurrency') return 0n;
  const { text, parameters } = question(rule, fromMs, untilMs);
  return total(rule, await tx.unsafe<Sum[]>(text, parameters));
}

/** The same, in a transaction of people who look. */
export async function usedInWindow(
  tx: Transaction,
  rule: Rule,
  fromMs: number,
  untilMs: number | null,
): Promise<bigint> {
  if (rule.meter === 'concurrency') return 0n;
  const { text, parameters } = question(rule, fromMs, untilMs);
  const parts = text.split(/\$(\d)/);
  const chunks = parts.map(
    (part, at): SQL => (at % 2 === 0 ? sql.raw(part) : sql`${parameters[Number(part) - 1]}`),
  );
  return total(rule, (await tx.execute(sql.join(chunks))) as unknown as Sum[]);
}

function total({ meter, models }: Rule, sums: readonly Sum[]): bigint {
  return sums
    .filter(({ model }) => includesModel(models, model))
    .reduce((amount, sum) => amount + measure(meter, sum), 0n);
}

function measure(meter: Meter, sum: Sum): bigint {
  switch (meter) {
    case 'cost_usd':
      return usd(sum.cost);
    case 'requests':
      return BigInt(sum.calls) * UNIT;
    case 'input_tokens':
      return BigInt(sum.input_tokens) * UNIT;
    case 'output_tokens':
      return BigInt(sum.output_tokens) * UNIT;
    case 'tokens':
      return BigInt(sum.input_tokens + sum.output_tokens) * UNIT;
    case 'concurrency':
      return 0n;
  }
}

function question(
  { teamId, subjectType, subjectId }: Rule,
  fromMs: number,
  untilMs: number | null,
): { text: string; parameters: string[] } {
  const isWhole = fromMs % QUARTER_MS === 0 && (untilMs === null || untilMs % QUARTER_MS === 0);
  const isEvents = subjectType === 'user' || !isWhole;
  const moment = isEvents ? 'created_at' : 'bucket_start';
  const parameters = [new Date(fromMs).toISOString()];
  const conditions = [`${moment} >= $1::timestamptz`];
  const add = (value: string, condition: (name: string) => string) => {
    parameters.push(value);
    conditions.push(condition(`$${parameters.length}`));
  };
  if (untilMs !== null) add(new Date(untilMs).toISOString(), (name) => `${moment} < ${name}::timestamptz`);
  if (teamId === ORGANIZATION_ID) conditions.push('team_id in (select id from teams)');
  else add(teamId, (name) => `team_id = ${name}::uuid`);
  if (subjectType === 'key') add(subjectId, (name) => `key_id = ${name}::uuid`);
  if (subjectType === 'user') add(subjectId, (name) => `end_user = ${name}`);
  const text = `
    select model, sum(cost_usd)::text as cost, sum(input_tokens)::float8 as input_tokens,
      sum(output_tokens)::float8 as output_tokens, ${isEvents ? 'count(*)' : 'sum(calls)'}::float8 as calls
    from ${isEvents ? 'usage_events' : 'usage_rollups'}
    where ${conditions.join(' and ')}
    group by model`;
  return { text, parameters };
}
