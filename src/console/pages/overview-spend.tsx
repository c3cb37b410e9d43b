/** Spend over time: a stacked chart with its legend, or the same as a table. */
import { useCallback, useMemo, useState } from 'preact/hooks';
import type { Usage, UsageRow } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { isZero, restDigits } from '../money.ts';
import { Chart, COLOURS } from '../parts/chart.tsx';
import { Choice } from '../parts/choice.tsx';
import { Money } from '../parts/money.tsx';
import { Panel } from '../parts/page.tsx';
import { bucketsOf, type Stack, type Step, stackOf } from '../parts/stack.ts';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { type Format, TIME_ZONE, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useSession } from '../shell/session.ts';

export type Range = '6h' | '24h' | '30d' | '12m';
type Group = 'team' | 'model' | 'key' | 'tag';

const RANGES: Record<Range, { step: Step; count: number }> = {
  '6h': { step: '15m', count: 24 },
  '24h': { step: 'hour', count: 24 },
  '30d': { step: 'day', count: 30 },
  '12m': { step: 'month', count: 12 },
};

/** Returns when each bucket of a range begins; the last contains `nowMs`. */
export function rangeOf(range: Range, nowMs: number): [number, ...number[]] {
  const { step, count } = RANGES[range];
  return bucketsOf(step, count, nowMs);
}

function timeFormat(format: Format, range: Range): (ms: number) => string {
  if (range === '12m') return format.shortMonth;
  return range === '30d' ? format.shortDay : format.clock;
}

const NAMES: Record<Group, (row: UsageRow) => string | null | undefined> = {
  model: (row) => row.model,
  team: (row) => row.team_name,
  key: (row) => row.key_name,
  tag: (row) => row.tag_value,
};

/** Teams and keys may have the same name; a tag's value may read as the words for having none. */
const IDS: Record<Group, (row: UsageRow) => string | undefined> = {
  model: () => undefined,
  team: (row) => row.team_id,
  key: (row) => row.key_id,
  tag: (row) => (row.tag_value == null ? ' without' : row.tag_value),
};

interface SpendProps {
  range: Range;
  onRange: (range: Range) => void;
  from: string;
  pollMs?: number;
  /** Only this team's spend. */
  teamId?: string;
  /** Only what calls with this tag spent; `value` null: with any of this name, by its values. */
  tag?: { name: string; value: string | null };
}

export function SpendPanel({ range, onRange, from, pollMs, teamId, tag }: SpendProps) {
  const t = useMessages();
  const { role } = useSession();
  const ofTeams: readonly [Group, ...Group[]] =
    role !== 'team' && !teamId ? ['team', 'model'] : ['model', 'key'];
  const groups: readonly [Group, ...Group[]] = tag?.value === null ? ['tag'] : ofTeams;
  const [group, setGroup] = useState<Group>(groups[0]);
  const [asTable, setAsTable] = useState(false);
  const { step } = RANGES[range];
  const usage = useApi<Usage>(
    '/usage',
    {
      ...{ interval: step, time_zone: TIME_ZONE, from, team_id: teamId },
      group_by: group === 'tag' ? `tag:${tag?.name}` : group,
      tag: tag && tag.value !== null ? `${tag.name}=${tag.value}` : null,
      // The others come as one: there may be thousands.
      top: COLOURS,
    },
    pollMs,
  );
  const ranges = (['6h', '24h', '30d', '12m'] as const).map((value) => ({
    value,
    text: t.overview.ranges[value],
  }));
  const groupNames: Record<Group, string> = {
    team: t.overview.byTeam,
    model: t.overview.byModel,
    key: t.common.key,
    tag: tag?.name ?? '',
  };
  return (
    <Panel
      title={tag && tag.value !== null ? t.tags.spendOf(`${tag.name}=${tag.value}`) : t.overview.spend}
      actions={
        <>
          {groups.length > 1 && (
            <Choice
              label={t.overview.by}
              value={group}
              onChange={setGroup}
              options={groups.map((value) => ({ value, text: groupNames[value] }))}
            />
          )}
          <Choice label={t.overview.range} value={range} onChange={onRange} options={ranges} />
          <button type="button" class="button" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            {asTable ? t.common.asChart : t.common.asTable}
          </button>
        </>
      }
    >
      <Load of={usage} lines={8}>
        {(data) => (
          <Spend usage={data} range={range} group={group} asTable={asTable} by={groupNames[group]} />
        )}
      </Load>
    </Panel>
  );
}

interface ShownProps {
  usage: Usage;
  range: Range;
  group: Group;
  asTable: boolean;
  by: string;
}

function Spend({ usage, range, group, asTable, by }: ShownProps) {
  const t = useMessages();
  const format = useFormat();
  const [pointed, setPointed] = useState<number | null>(null);
  const point = useCallback((index: number | null) => setPointed(index), []);
  const stack = useMemo(() => {
    const points = usage.data.map((row) => ({
      at: row.starts_at ?? '',
      series: row.other ? null : (NAMES[group](row) ?? (group === 'tag' ? t.tags.without : '—')),
      id: IDS[group](row),
      usd: row.cost_usd,
    }));
    return stackOf(points, rangeOf(range, Date.now()), COLOURS, t.common.other);
  }, [usage, range, group, t]);
  const formatTime = useMemo(() => timeFormat(format, range), [format, range]);
  if (stack.series.length === 0 || isZero(stack.total)) {
    return <Empty title={t.overview.noSpend} text={t.overview.noSpendText} />;
  }
  const caption = t.overview.chart(t.overview.ranges[range], by);
  if (asTable) return <SpendTable stack={stack} caption={caption} formatTime={formatTime} />;
  return (
    <figure class="spend" aria-label={caption}>
      <Chart stack={stack} formatTime={formatTime} onPoint={point} />
      <Legend stack={stack} pointed={pointed} formatTime={formatTime} />
    </figure>
  );
}

interface LegendProps {
  stack: Stack;
  pointed: number | null;
  formatTime: (ms: number) => string;
}

function Legend({ stack, pointed, formatTime }: LegendProps) {
  const t = useMessages();
  const at = pointed !== null && pointed < stack.startsMs.length ? pointed : null;
  const amounts = stack.series.map(({ amounts, total }) => (at === null ? total : (amounts[at] ?? '0')));
  const total = at === null ? stack.total : (stack.totals[at] ?? '0');
  const reserve = restDigits([...amounts, total]);
  return (
    <figcaption class="legend">
      <p class="legend-total">
        <span>{at === null ? t.common.total : formatTime(stack.startsMs[at] ?? 0)}</span>
        <Money usd={total} reserve={reserve} />
      </p>
      <ul>
        {stack.series.map(({ id, name }, index) => (
          <li key={id}>
            <span class={`swatch series-${(index % COLOURS) + 1}`} />
            <span class="legend-name">{name}</span>
            <Money usd={amounts[index] ?? '0'} reserve={reserve} />
          </li>
        ))}
      </ul>
    </figcaption>
  );
}

interface SpendTableProps {
  stack: Stack;
  caption: string;
  formatTime: (ms: number) => string;
}

function SpendTable({ stack, caption, formatTime }: SpendTableProps) {
  const t = useMessages();
  const rows = stack.startsMs.map((_, index) => index).reverse();
  const reserve = restDigits(stack.totals);
  return (
    <div class="tall">
      <Table
        caption={caption}
        rows={rows}
        keyOf={String}
        columns={[
          {
            key: 'time',
            label: t.overview.time,
            heads: true,
            cell: (row) => formatTime(stack.startsMs[row] ?? 0),
          },
          ...stack.series.map(({ id, name, amounts }) => ({
            key: id,
            label: name,
            number: true,
            cell: (row: number) => <Money usd={amounts[row] ?? '0'} reserve={restDigits(amounts)} />,
          })),
          {
            key: ' total',
            label: t.common.total,
            number: true,
            cell: (row) => <Money usd={stack.totals[row] ?? '0'} reserve={reserve} />,
          },
        ]}
      />
    </div>
  );
}
