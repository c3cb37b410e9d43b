/** Estimates as figures, a chart and a table. */
import type { ComponentChildren } from 'preact';
import { useCallback, useMemo, useState } from 'preact/hooks';
import type { Estimate } from '../api/types.ts';
import { restDigits, sum } from '../money.ts';
import { Chart } from '../parts/chart.tsx';
import { Money, moneyText } from '../parts/money.tsx';
import { Panel } from '../parts/page.tsx';
import type { Stack } from '../parts/stack.ts';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';

type Of<Kind extends Estimate['kind']> = Extract<Estimate, { kind: Kind }>;

export function EstimatePanels({ estimate }: { estimate: Estimate }) {
  if (estimate.kind === 'usage') return <Usage estimate={estimate} />;
  if (estimate.kind === 'fine_tune') return <FineTune estimate={estimate} />;
  if (estimate.kind === 'batch') return <Batch estimate={estimate} />;
  return <Pretrain estimate={estimate} />;
}

interface Bar {
  name: string;
  /** A decimal text: money, or a count. */
  amount: string;
}

/** Bars with the name of each below it, and what the pointer is on. */
function Bars({ bars, caption, isMoney }: { bars: readonly Bar[]; caption: string; isMoney: boolean }) {
  const format = useFormat();
  const [pointed, setPointed] = useState<number | null>(null);
  const point = useCallback((index: number | null) => setPointed(index), []);
  const stack = useMemo<Stack>(() => {
    const amounts = bars.map(({ amount }) => amount);
    const series = [{ id: caption, name: caption, amounts, total: sum(amounts) }];
    return { startsMs: bars.map((_, index) => index), series, totals: amounts, total: sum(amounts) };
  }, [bars, caption]);
  const nameAt = useCallback((index: number) => bars[index]?.name ?? '', [bars]);
  const countOf = useCallback((value: number) => format.count(value), [format]);
  const bar = pointed === null ? undefined : bars[pointed];
  return (
    <figure aria-label={caption}>
      <Chart stack={stack} formatTime={nameAt} onPoint={point} formatValue={isMoney ? undefined : countOf} />
      <figcaption class="quiet">
        {bar === undefined
          ? caption
          : `${bar.name}: ${isMoney ? moneyText(bar.amount) : format.count(Number(bar.amount))}`}
      </figcaption>
    </figure>
  );
}

function Figures({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="figures-list">
      {rows.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Usage({ estimate }: { estimate: Of<'usage'> }) {
  const t = useMessages();
  const format = useFormat();
  const { models, credit_usd: credit } = estimate;
  const days = format.count(estimate.days);
  const bars = useMemo(
    () => models.map(({ model, cost_usd }) => ({ name: model, amount: cost_usd })),
    [models],
  );
  const reserves = {
    call: restDigits(models.map((row) => row.cost_per_call_usd)),
    days: restDigits(models.map((row) => row.cost_usd)),
  };
  const count = (text: string | null) => (text === null ? '∞' : format.count(Number(text)));
  return (
    <Panel title={t.planner.result} note={format.utcDay(estimate.date)}>
      <Bars bars={bars} caption={t.planner.costOfModels(days)} isMoney />
      <Table
        caption={t.planner.costOfModels(days)}
        rows={models}
        keyOf={({ model }) => model}
        columns={[
          { key: 'model', label: t.common.model, heads: true, cell: ({ model }) => model },
          {
            key: 'call',
            label: t.planner.aCall,
            number: true,
            cell: (row) => <Money usd={row.cost_per_call_usd} reserve={reserves.call} />,
          },
          {
            key: 'days',
            label: t.planner.ofDays(days),
            number: true,
            cell: (row) => <Money usd={row.cost_usd} reserve={reserves.days} />,
          },
          {
            key: 'credit',
            label: t.planner.creditCalls(moneyText(credit)),
            number: true,
            cell: (row) => count(row.credit_calls),
          },
          {
            key: 'creditDays',
            label: t.planner.creditDays,
            number: true,
            cell: (row) => count(row.credit_days),
          },
          models.some(({ said }) => said !== null)
            ? { key: 'said', label: t.planner.said, cell: ({ said }) => t.planner.saids[said ?? ''] ?? said }
            : null,
          {
            key: 'source',
            label: t.planner.source,
            cell: ({ source }) => <span class="quiet">{source}</span>,
          },
        ]}
      />
    </Panel>
  );
}

function FineTune({ estimate }: { estimate: Of<'fine_tune'> }) {
  const t = useMessages();
  const format = useFormat();
  const { histogram, inference, encoding, longest_example: longest } = estimate;
  const bars = useMemo(
    () =>
      histogram.map(({ from_tokens, to_tokens, examples }) => ({
        name: `${from_tokens}–${to_tokens}`,
        amount: String(examples),
      })),
    [histogram],
  );
  const counted = encoding === null ? t.planner.byBytes : t.planner.byEncoding(encoding);
  const rows: [string, ComponentChildren][] = [
    [t.common.model, estimate.model],
    [t.planner.examples, estimate.examples === null ? t.planner.unknown : format.count(estimate.examples)],
    [t.planner.tokensCounted, `${format.count(estimate.tokens)}, ${counted}`],
    [t.planner.longest, longest === null ? t.planner.unknown : format.count(longest.tokens)],
    estimate.hours === null
      ? [t.planner.epochs, format.count(estimate.epochs)]
      : [t.planner.fields.hours ?? '', estimate.hours],
    [
      t.planner.perEpoch,
      estimate.cost_per_epoch_usd === null ? '—' : <Money usd={estimate.cost_per_epoch_usd} />,
    ],
    [t.planner.cost, <Money key="cost" usd={estimate.cost_usd} />],
    [
      t.planner.afterwards,
      inference === null
        ? t.planner.unknown
        : t.planner.inAndOut(moneyText(inference.input_usd), moneyText(inference.output_usd)),
    ],
  ];
  return (
    <>
      <Panel title={t.planner.result}>
        <Figures rows={rows} />
        {bars.length > 0 && (
          <>
            <Bars bars={bars} caption={t.planner.lengths} isMoney={false} />
            <Table
              caption={t.planner.lengths}
              rows={bars}
              keyOf={({ name }) => name}
              columns={[
                { key: 'tokens', label: t.planner.tokensCounted, heads: true, cell: ({ name }) => name },
                {
                  key: 'examples',
                  label: t.planner.examples,
                  number: true,
                  cell: ({ amount }) => format.count(Number(amount)),
                },
              ]}
            />
          </>
        )}
      </Panel>
      <Problems estimate={estimate} />
    </>
  );
}

function Batch({ estimate }: { estimate: Of<'batch'> }) {
  const t = useMessages();
  const format = useFormat();
  const { models } = estimate;
  const bars = useMemo(
    () => models.map(({ model, batch_usd }) => ({ name: model, amount: batch_usd })),
    [models],
  );
  const amounts = models.flatMap(({ batch_usd, single_usd }) => [batch_usd, single_usd]);
  const reserve = restDigits(amounts);
  const rows: [string, ComponentChildren][] = [
    [t.planner.calls, format.count(estimate.lines)],
    [t.planner.inBatch, <Money key="batch" usd={estimate.batch_usd} />],
    [t.planner.singly, <Money key="single" usd={estimate.single_usd} />],
  ];
  const notes = [
    estimate.open_ended_lines > 0 ? t.planner.openEnded(format.count(estimate.open_ended_lines)) : '',
    estimate.unpriced_lines > 0 ? t.planner.unpriced(format.count(estimate.unpriced_lines)) : '',
  ].filter((note) => note !== '');
  return (
    <>
      <Panel title={t.planner.result} note={notes.join(' · ') || undefined}>
        <Figures rows={rows} />
        {bars.length > 0 && <Bars bars={bars} caption={t.planner.batchAndSingle} isMoney />}
        <Table
          caption={t.planner.batchAndSingle}
          rows={models}
          keyOf={({ model, operation }) => `${operation} ${model}`}
          columns={[
            { key: 'model', label: t.common.model, heads: true, cell: ({ model }) => model },
            { key: 'operation', label: t.planner.operation, cell: ({ operation }) => operation },
            { key: 'calls', label: t.planner.calls, number: true, cell: (row) => format.count(row.lines) },
            {
              key: 'input',
              label: t.planner.inputTokens,
              number: true,
              cell: (row) => format.count(row.input_tokens),
            },
            {
              key: 'output',
              label: t.planner.outputTokens,
              number: true,
              cell: (row) => format.count(row.output_tokens),
            },
            {
              key: 'batch',
              label: t.planner.inBatch,
              number: true,
              cell: (row) => <Money usd={row.batch_usd} reserve={reserve} />,
            },
            {
              key: 'single',
              label: t.planner.singly,
              number: true,
              cell: (row) => <Money usd={row.single_usd} reserve={reserve} />,
            },
          ]}
        />
      </Panel>
      <Problems estimate={estimate} />
    </>
  );
}

function Problems({ estimate }: { estimate: Of<'fine_tune'> | Of<'batch'> }) {
  const t = useMessages();
  const format = useFormat();
  const { problem_count: count, problems } = estimate;
  const title = t.planner.problems(format.count(count));
  return (
    <Panel title={title}>
      {count === 0 ? (
        <p>{t.planner.noProblems}</p>
      ) : (
        <Table
          caption={title}
          rows={problems}
          keyOf={({ line, problem }) => `${line} ${problem}`}
          columns={[
            {
              key: 'line',
              label: t.planner.line,
              heads: true,
              cell: ({ line }) => (line === 0 ? t.planner.wholeFile : format.count(line)),
            },
            { key: 'problem', label: t.planner.problem, cell: ({ problem }) => problem },
          ]}
        />
      )}
    </Panel>
  );
}

function Pretrain({ estimate }: { estimate: Of<'pretrain'> }) {
  const t = useMessages();
  const format = useFormat();
  const { published, days, sources } = estimate;
  const rows: [string, ComponentChildren][] = [
    [t.planner.gpuHours, format.count(Math.round(Number(estimate.gpu_hours)))],
    [t.planner.gpuYears, format.count(Number(estimate.gpu_years))],
    [t.planner.cost, <Money key="cost" usd={estimate.cost_usd} />],
  ];
  if (days !== null) rows.push([t.planner.days, format.count(Number(days))]);
  if (published !== null)
    rows.push([t.planner.published, t.planner.publishedText(published.cost, published.gpu_years)]);
  return (
    <Panel title={t.planner.result}>
      <Figures rows={rows} />
      <Table
        caption={t.planner.source}
        rows={sources}
        keyOf={({ what }) => what}
        columns={[
          { key: 'what', label: t.planner.what, heads: true, cell: ({ what }) => what },
          { key: 'value', label: t.planner.value, number: true, cell: ({ value }) => value },
          { key: 'source', label: t.planner.source, cell: ({ source }) => source },
        ]}
      />
    </Panel>
  );
}
