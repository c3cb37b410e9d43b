/** Calls as rows: time, team, key, model, outcome, cost. */
import type { ComponentChildren } from 'preact';
import type { Event } from '../api/types.ts';
import { restDigits } from '../money.ts';
import { Money } from '../parts/money.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';

interface CallTableProps {
  calls: Event[];
  withTeam: boolean;
  actions?: ((call: Event) => ComponentChildren) | undefined;
}

export function CallTable({ calls, withTeam, actions }: CallTableProps) {
  const t = useMessages();
  const format = useFormat();
  const costRest = restDigits(calls.map(costOf));
  return (
    <Table
      caption={t.calls.list}
      rows={calls}
      keyOf={(call) => call.id}
      columns={[
        {
          key: 'time',
          label: t.calls.time,
          heads: true,
          cell: (call) => (
            <a href={`${BASE}/calls/${call.id}`}>
              <time dateTime={call.created_at}>{format.timeOf(call.created_at)}</time>
            </a>
          ),
        },
        withTeam
          ? {
              key: 'team',
              label: t.common.team,
              cell: (call) => <a href={`${BASE}/teams/${call.team_id}`}>{call.team_name}</a>,
            }
          : null,
        { key: 'key', label: t.common.key, cell: (call) => call.key_name },
        { key: 'model', label: t.common.model, cell: (call) => <span class="unbroken">{call.model}</span> },
        {
          key: 'operation',
          label: t.calls.operation,
          cell: (call) => <span class="quiet">{call.operation}</span>,
        },
        { key: 'outcome', label: t.calls.outcome, cell: (call) => <Outcome call={call} /> },
        { key: 'input', label: t.calls.input, number: true, cell: (call) => format.count(call.input_tokens) },
        {
          key: 'output',
          label: t.calls.output,
          number: true,
          cell: (call) => format.count(call.output_tokens),
        },
        {
          key: 'cost',
          label: t.calls.cost,
          number: true,
          cell: (call) => <Money usd={costOf(call)} reserve={costRest} />,
        },
        actions ? { key: 'actions', label: t.common.actions, quiet: true, cell: actions } : null,
      ]}
    />
  );
}

/** What it costs today: with corrections. */
export function costOf(call: Event): string {
  return call.adjusted_usd ?? call.cost_usd;
}

export function Outcome({ call }: { call: Event }) {
  const t = useMessages();
  const look = { settled: 'fine', voided: '', unknown: 'near' }[call.outcome];
  return (
    <>
      <span class={`badge ${look}`}>{t.calls.outcomes[call.outcome]}</span>
      {call.outcome === 'settled' && call.provenance !== 'reported' && (
        <span class="quiet"> {t.calls.provenances[call.provenance]}</span>
      )}
    </>
  );
}
