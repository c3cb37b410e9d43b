/** What calls with a tag spent: by its values, and of one value over time. */
import { useMemo, useState } from 'preact/hooks';
import type { Tag, Usage, UsageRow } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import type { Messages } from '../messages/messages.ts';
import { compare, ratio, restDigits, sum } from '../money.ts';
import { Bar } from '../parts/bar.tsx';
import { TextField } from '../parts/field.tsx';
import { Money } from '../parts/money.tsx';
import { Panel } from '../parts/page.tsx';
import { Sliced } from '../parts/pager.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { type Format, TIME_ZONE, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { type Range, rangeOf, SpendPanel } from './overview-spend.tsx';

const VALUES_PER_PAGE = 20;
/** A chart by value reads sums of each value and interval: of more it would take longer than a page may. */
const SUMS_MAX = 10_000;
const DAY_MS = 86_400_000;

interface SpendProps {
  name: string;
  /** Null: of all values. */
  value: string | null;
  /** Null: it has none. */
  rule: Tag | null;
}

export function TagSpend({ name, value, rule }: SpendProps) {
  const t = useMessages();
  const [range, setRange] = useState<Range>('30d');
  const starts = rangeOf(range, Date.now());
  const firstMs = starts[0];
  const from = useMemo(() => new Date(firstMs).toISOString(), [firstMs]);
  const query = { group_by: `tag:${name}`, interval: 'total', time_zone: TIME_ZONE };
  const usage = useApi<Usage>('/usage', { ...query, from });
  const idleFrom = useIdleSince(rule);
  const active = useApi<Usage>(idleFrom === null ? null : '/usage', { ...query, from: idleFrom });
  const fits = (usage.data?.data.length ?? SUMS_MAX) * starts.length < SUMS_MAX;
  const chosen = value !== null || fits ? { name, value } : null;
  return (
    <>
      {chosen && <SpendPanel key={value} range={range} onRange={setRange} from={from} tag={chosen} />}
      <Panel
        title={t.tags.spendBy(name)}
        note={rule?.values === null ? t.tags.closedNote(rule.idle_days) : undefined}
      >
        <Load of={usage} lines={8}>
          {({ data }) => (
            <ValueTable
              name={name}
              chosen={value}
              rows={data}
              active={active.data && new Set(active.data.data.map((row) => row.tag_value))}
            />
          )}
        </Load>
      </Panel>
    </>
  );
}

/** Returns since when a value must have been used to be open; null: values are not closed. */
function useIdleSince(rule: Tag | null): string | null {
  const days = rule?.values === null ? rule.idle_days : null;
  return useMemo(() => (days === null ? null : new Date(Date.now() - days * DAY_MS).toISOString()), [days]);
}

interface TableProps {
  name: string;
  chosen: string | null;
  rows: readonly UsageRow[];
  /** Values that were used lately; null: not known, or none is closed. */
  active: ReadonlySet<string | null | undefined> | null;
}

function ValueTable({ name, chosen, rows, active }: TableProps) {
  const t = useMessages();
  const format = useFormat();
  const [search, setSearch] = useState('');
  const sorted = useMemo(() => [...rows].sort((a, b) => compare(b.cost_usd, a.cost_usd)), [rows]);
  const total = useMemo(() => sum(rows.map((row) => row.cost_usd)), [rows]);
  if (rows.length === 0) return <Empty title={t.overview.noSpend} text={t.tags.noSpendText} />;
  const wanted = search.trim().toLowerCase();
  const found = sorted.filter(({ tag_value: value }) => (value ?? '').toLowerCase().includes(wanted));
  return (
    <>
      {rows.length > VALUES_PER_PAGE && (
        <div class="inline">
          <TextField label={t.tags.search} param="search" value={search} onValue={setSearch} />
        </div>
      )}
      <Sliced items={found} size={VALUES_PER_PAGE}>
        {(shown) => (
          <Table
            caption={t.tags.spendBy(name)}
            rows={shown}
            keyOf={({ tag_value: value }) => value ?? ''}
            columns={columnsOf(t, format, { name, chosen, total, active, rows: shown })}
          />
        )}
      </Sliced>
    </>
  );
}

function columnsOf(
  t: Messages,
  format: Format,
  { name, chosen, total, active, rows }: TableProps & { total: string },
): Column<UsageRow>[] {
  const reserve = restDigits(rows.map((row) => row.cost_usd));
  const isClosed = (value: string | null) => value !== null && active !== null && !active.has(value);
  return [
    {
      key: 'value',
      label: t.tags.value,
      heads: true,
      cell: ({ tag_value: value = null }) =>
        value === null ? (
          <span class="quiet">{t.tags.without}</span>
        ) : (
          <>
            <a
              href={`${BASE}/tags?${new URLSearchParams({ name, value })}`}
              aria-current={value === chosen ? 'true' : undefined}
            >
              {value}
            </a>{' '}
            {isClosed(value) && <span class="badge">{t.tags.closed}</span>}
          </>
        ),
    },
    {
      key: 'spent',
      label: t.overview.spent,
      number: true,
      cell: ({ cost_usd: usd }) => <Money usd={usd} reserve={reserve} />,
    },
    {
      key: 'share',
      label: t.overview.share,
      cell: ({ cost_usd: usd }) => {
        const share = ratio(usd, total);
        return (
          <span class="tightest">
            <Bar label={t.tags.shareOf(format.percent(share))} used={share} plain />
            <span class="tightest-share">{format.percent(share)}</span>
          </span>
        );
      },
    },
    { key: 'calls', label: t.nav.calls, number: true, cell: ({ calls }) => format.count(calls) },
    {
      key: 'links',
      label: t.common.actions,
      quiet: true,
      cell: ({ tag_value: value = null }) =>
        value !== null && (
          <a href={`${BASE}/calls?${new URLSearchParams({ tag: `${name}=${value}` })}`}>
            {t.tags.itsCalls}
            <span class="hidden"> {value}</span>
          </a>
        ),
    },
  ];
}
