/** Whose a line of the bill is, for reconciliation.ts: which keys are the gateway's, and what models are called. Pure. */
import type { CostRow, DayInput, UsageRow } from './differences.ts';
import { type LineSubject, lineSubject } from './line-items.ts';
import { REPORTED, REPORTED_AS, tokensOf } from './reconciliation-evidence.ts';

/**
 * Returns the key under which all usage is reported that the ledger knows of; null: none has all of it, or several have.
 * @param nameOf the ledger's name of a model, as the report says it
 */
export function ownKeysOf(
  { ledger, usage, crossing }: DayInput,
  nameOf: (model: string) => string,
): ReadonlySet<string> | null {
  const ids = new Set(
    usage.flatMap(({ apiKeyId, tokens }) => (apiKeyId === null || !tokens ? [] : [apiKeyId])),
  );
  const known = ledger.filter(
    ({ state, subject, model }) => state === 'reported' && subject === 'text' && model !== '',
  );
  const least = Map.groupBy(known, ({ model, tier }) => `${nameOf(model)}/${tier}`);
  if (least.size === 0) return null;
  const covers = (id: string) =>
    [...least].every(([name, rows]) => {
      const own = tokensOf(
        usage.flatMap((row) =>
          row.apiKeyId === id && `${row.model}/${row.tier ?? 'default'}` === name ? [row.tokens ?? {}] : [],
        ),
      );
      const late = tokensOf(
        crossing.flatMap((row) =>
          row.direction === 'out' && `${nameOf(row.model)}/${row.tier}` === name ? [row.usage ?? {}] : [],
        ),
      );
      return [...tokensOf(rows.map((row) => row.usage))].every(
        ([meter, tokens]) => (own.get(meter) ?? 0) + (late.get(meter) ?? 0) >= tokens,
      );
    });
  const own = [...ids].filter(covers);
  return own.length === 1 ? new Set(own) : null;
}

/** Returns the costs by key: where the report does not tell keys apart, each line by what each key used of it. */
export function costsByKey(
  { costs, usage }: DayInput,
  isForeign: (key: string | null) => boolean,
): CostRow[] {
  if (costs.some(({ apiKeyId }) => apiKeyId !== null)) return [...costs];
  return costs.flatMap((row) => {
    const subject = row.lineItem === null ? null : lineSubject(row.lineItem);
    const used = usage.flatMap((each) => {
      const amount = subject === null ? 0 : amountOf(each, subject);
      return amount > 0 ? [{ key: each.apiKeyId, amount }] : [];
    });
    const all = used.reduce((sum, { amount }) => sum + amount, 0);
    let rest = row;
    const foreign = used.filter(({ key }) => isForeign(key));
    const split = foreign.map(({ key, amount }): CostRow => {
      const part = { amount: (row.amount * BigInt(amount)) / BigInt(all), quantity: amount };
      const { quantity } = rest;
      rest = {
        ...rest,
        amount: rest.amount - part.amount,
        quantity: quantity === null ? null : quantity - amount,
      };
      return { ...row, ...part, apiKeyId: key };
    });
    return [...split, rest];
  });
}

/** What a report counts of a line item. */
function amountOf(row: UsageRow, subject: LineSubject): number {
  if (subject.of === 'tools') return REPORTED[row.report] === subject.tool ? row.units : 0;
  if (subject.of === 'storage' || row.model !== subject.model) return 0;
  if ((row.tier ?? subject.tier) !== subject.tier) return 0;
  if (row.tokens === null) return row.units;
  const sums = tokensOf([row.tokens]);
  if (subject.meter !== null) return sums.get(REPORTED_AS[subject.meter] ?? subject.meter) ?? 0;
  return [...sums.values()].reduce((sum, amount) => sum + amount, 0);
}

/** The names of models, as the upstream's reports say them. */
export function namesBilled({ usage, costs }: DayInput): Set<string> {
  const names = new Set(usage.flatMap(({ model }) => (model === null ? [] : [model])));
  for (const { lineItem } of costs) {
    const subject = lineItem === null ? null : lineSubject(lineItem);
    if (subject?.of === 'model') names.add(subject.model);
  }
  return names;
}
