/** The stages of a call as a table: when each ran, and its result. */
import type { ComponentChildren } from 'preact';
import type { WholeEvent } from '../api/types.ts';
import { Money } from '../parts/money.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { costOf } from './call-table.tsx';

const STAGES = [
  'route',
  'authenticate',
  'upload',
  'parse',
  'estimate',
  'reserve',
  'connect',
  'forward',
  'settle',
  'record',
] as const;

/** Names that stages had in events of earlier releases. */
const EARLIER_NAMES: Partial<Record<Stage, string>> = { parse: 'classify', settle: 'meter' };

type Stage = (typeof STAGES)[number];

interface StageRow {
  stage: Stage;
  /** Null: it was not measured. */
  us: number | null;
  startUs: number;
}

export function Stages({ call }: { call: WholeEvent }) {
  const t = useMessages();
  const format = useFormat();
  let startUs = 0;
  const rows = STAGES.map((stage): StageRow => {
    const earlier = EARLIER_NAMES[stage];
    const us = call.stage_us[stage] ?? (earlier === undefined ? undefined : call.stage_us[earlier]) ?? null;
    const row = { stage, us, startUs };
    startUs += us ?? 0;
    return row;
  });
  const totalUs = startUs;
  return (
    <Table
      caption={t.call.stages}
      rows={rows}
      keyOf={({ stage }) => stage}
      columns={[
        { key: 'stage', label: t.call.stage, heads: true, cell: ({ stage }) => t.call.stageNames[stage] },
        {
          key: 'timeline',
          label: t.call.timeline,
          cell: (row) => <Span row={row} totalUs={totalUs} />,
        },
        {
          key: 'took',
          label: t.call.took,
          number: true,
          cell: ({ us }) =>
            us === null ? <span class="quiet">{t.call.notReached}</span> : format.duration(us),
        },
        { key: 'what', label: t.call.what, cell: ({ stage }) => <Story call={call} stage={stage} /> },
      ]}
      foot={
        <tr>
          <th scope="row">{t.call.totalTime}</th>
          <td />
          <td class="number">{format.duration(totalUs)}</td>
          <td />
        </tr>
      }
    />
  );
}

/** Where in the whole time the stage lies. Its length is in the next column, so it says nothing of its own. */
function Span({ row: { us, startUs }, totalUs }: { row: StageRow; totalUs: number }) {
  if (us === null || totalUs === 0) return null;
  const percent = (part: number) => `${(100 * part) / totalUs}%`;
  return (
    <span class="span" aria-hidden="true">
      <span style={{ marginInlineStart: percent(startUs), width: percent(us) }} />
    </span>
  );
}

function Story({ call, stage }: { call: WholeEvent; stage: Stage }): ComponentChildren {
  const t = useMessages();
  const format = useFormat();
  switch (stage) {
    case 'route':
      return call.operation;
    case 'upload':
      return t.call.upload;
    case 'parse':
      return t.call.parse(call.model, call.stream);
    case 'authenticate':
      return t.call.authenticate(call.key_name, call.team_name);
    case 'estimate':
      return (
        <>
          {t.call.estimate} <Money usd={call.hold_usd} />
          {call.output_limit !== null && t.call.outputLimit(format.count(call.output_limit))}
        </>
      );
    case 'reserve':
      return call.allocations.length === 0 ? t.call.noBudgets : t.call.reserve(call.allocations.length);
    case 'connect':
      return t.call.connect;
    case 'forward':
      return call.upstream_status === null
        ? t.call.forwardNone
        : t.call.forward(String(call.upstream_status));
    case 'settle':
      return (
        <>
          {call.provenance === 'unknown'
            ? t.calls.outcomes.unknown
            : t.call.meter(format.count(call.input_tokens), format.count(call.output_tokens))}
          {', '}
          {t.call.settle} <Money usd={costOf(call)} />
        </>
      );
    case 'record':
      return t.call.record;
  }
}
