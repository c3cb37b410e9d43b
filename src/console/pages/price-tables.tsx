/** The rate card as a table, and the same rows as a history. */
import type { Price } from '../api/types.ts';
import type { Messages } from '../messages/messages.ts';
import { compare, restDigits } from '../money.ts';
import { Money, moneyText } from '../parts/money.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { type Format, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { nameOf } from './quantities.ts';
import { before, hasKnownStart } from './rate-card.ts';

type Rate = 'input_usd' | 'cached_input_usd' | 'cache_write_usd' | 'output_usd';

const RATES = ['input_usd', 'cached_input_usd', 'cache_write_usd', 'output_usd'] as const;

const TEXT_METER = {
  input_usd: 'input_tokens',
  cached_input_usd: 'cached_input_tokens',
  cache_write_usd: 'cache_write_tokens',
  output_usd: 'output_tokens',
} as const satisfies Record<Rate, string>;

const labelOf = (t: Messages, rate: Rate) =>
  ({
    input_usd: t.prices.input,
    cached_input_usd: t.prices.cached,
    cache_write_usd: t.prices.write,
    output_usd: t.prices.output,
  })[rate];

interface PriceTableProps {
  prices: Price[];
  onDelete: ((price: Price) => void) | null;
}

export function PriceTable({ prices, onDelete }: PriceTableProps) {
  const t = useMessages();
  const format = useFormat();
  const rateColumns = RATES.map((rate): Column<Price> => {
    const reserve = restDigits(prices.map((price) => price[rate]));
    return {
      key: rate,
      label: labelOf(t, rate),
      number: true,
      cell: (price) => <RateCell price={price} rate={rate} reserve={reserve} />,
    };
  });
  return (
    <Table
      caption={t.prices.tabs.card}
      rows={prices}
      keyOf={(price) => price.id}
      columns={[
        { key: 'model', label: t.common.model, heads: true, cell: (price) => <ModelCell price={price} /> },
        { key: 'tier', label: t.prices.tier, cell: (price) => price.tier },
        ...rateColumns,
        {
          key: 'per',
          label: t.prices.perTokensColumn,
          number: true,
          cell: (price) => format.compact(price.per_tokens),
        },
        { key: 'from', label: t.prices.from, number: true, cell: (price) => <Start price={price} /> },
        { key: 'origin', label: t.prices.origin, cell: (price) => <Origin price={price} /> },
        onDelete && {
          key: 'actions',
          label: t.common.actions,
          quiet: true,
          cell: (price) =>
            price.origin === 'admin' && (
              <button type="button" class="button small" onClick={() => onDelete(price)}>
                {t.common.remove}
                <span class="hidden"> {price.model}</span>
              </button>
            ),
        },
      ]}
    />
  );
}

function ModelCell({ price }: { price: Price }) {
  const t = useMessages();
  const format = useFormat();
  return (
    <>
      {price.model}
      {price.long_context_above_tokens !== null && price.long_context && (
        <span class="under">{t.prices.longContext(format.compact(price.long_context_above_tokens))}</span>
      )}
      {otherLines(price).map((line) => (
        <span key={`${line.meter} ${line.band ?? ''}`} class="under">
          {t.prices.line(nameOf(line.meter), moneyText(line.rate), format.count(line.per))}
        </span>
      ))}
    </>
  );
}

/** Of which meters that no column shows a price has lines. */
function otherLines(price: Price): Price['lines'] {
  if (price.input_usd === null) return price.lines;
  return price.lines.filter(({ meter }) => !TEXT_METERS.has(meter));
}

const TEXT_METERS: ReadonlySet<string> = new Set(RATES.map((rate) => TEXT_METER[rate]));

interface RateCellProps {
  price: Price;
  rate: Rate;
  reserve: number;
}

function RateCell({ price, rate, reserve }: RateCellProps) {
  const t = useMessages();
  const amount = price[rate];
  const long = price.long_context?.[rate];
  return (
    <>
      {amount === null ? (
        <span class="quiet">{price.input_usd === null ? '—' : t.prices.asInput}</span>
      ) : (
        <Money usd={amount} reserve={reserve} />
      )}
      {price.long_context && (
        <span class="under">
          {long ? <Money usd={long} reserve={reserve} /> : amount === null ? '' : '—'}
        </span>
      )}
    </>
  );
}

function Start({ price }: { price: Price }) {
  const t = useMessages();
  const format = useFormat();
  return hasKnownStart(price) ? (
    (price.origin === 'admin' ? format.day : format.utcDay)(price.effective_from)
  ) : (
    <span class="quiet">{t.prices.always}</span>
  );
}

function Origin({ price }: { price: Price }) {
  const t = useMessages();
  const admin = price.origin === 'admin';
  return (
    <span class={admin ? 'badge near' : 'badge'} title={price.source}>
      {admin ? t.prices.admin : t.prices.seed}
    </span>
  );
}

interface ChangeTableProps {
  prices: Price[];
  /** Every row, to find what each took over from. */
  all: readonly Price[];
}

export function ChangeTable({ prices, all }: ChangeTableProps) {
  const t = useMessages();
  const format = useFormat();
  return (
    <Table
      caption={t.prices.tabs.changes}
      rows={prices}
      keyOf={(price) => price.id}
      isFaded={(price) => price.deleted_at !== null}
      columns={[
        {
          key: 'from',
          label: t.prices.from,
          heads: true,
          cell: (price) => <When price={price} format={format} />,
        },
        { key: 'model', label: t.common.model, cell: (price) => <span class="unbroken">{price.model}</span> },
        { key: 'tier', label: t.prices.tier, cell: (price) => price.tier },
        ...RATES.map(
          (rate): Column<Price> => ({
            key: rate,
            label: labelOf(t, rate),
            number: true,
            cell: (price) => <Change price={price} rate={rate} earlier={before(price, all)} />,
          }),
        ),
        { key: 'origin', label: t.prices.origin, cell: (price) => <Origin price={price} /> },
        {
          key: 'source',
          label: t.prices.source,
          cell: (price) => <span class="source">{price.source}</span>,
        },
      ]}
    />
  );
}

function When({ price, format }: { price: Price; format: Format }) {
  const t = useMessages();
  return (
    <>
      <time dateTime={price.effective_from}>
        {price.origin === 'admin'
          ? format.dateTime(price.effective_from)
          : format.utcDay(price.effective_from)}
      </time>
      {price.deleted_at && <span class="under">{t.prices.removedAt(format.dateTime(price.deleted_at))}</span>}
    </>
  );
}

/** A rate, and beside it what it was when it is another one now. */
function Change({ price, rate, earlier }: { price: Price; rate: Rate; earlier: Price | null }) {
  const t = useMessages();
  const amount = price[rate];
  const was = earlier?.[rate] ?? null;
  if (amount === null) {
    return <span class="quiet">{price.input_usd === null ? '—' : t.prices.asInput}</span>;
  }
  const isOther = was !== null && earlier?.per_tokens === price.per_tokens && compare(was, amount) !== 0;
  return (
    <>
      <Money usd={amount} />
      {isOther && <span class="under">{t.prices.was(moneyText(was))}</span>}
    </>
  );
}
