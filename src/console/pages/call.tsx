/** One call: its stages with their times, its amounts, and all fields of its event. */
import { useState } from 'preact/hooks';
import type { Label, Page as PageOf, WholeEvent } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { restDigits } from '../money.ts';
import { Money } from '../parts/money.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { useMay } from '../shell/session.ts';
import { Content, useContent } from './call-content.tsx';
import { CallFigures, Facts } from './call-facts.tsx';
import { Stages } from './call-stages.tsx';
import { LabelBadge } from './label-badge.tsx';
import { ReleaseDialog } from './unknown.tsx';

export function CallPage({ id }: { id: string }) {
  const t = useMessages();
  const format = useFormat();
  const may = useMay();
  const [releasing, setReleasing] = useState(false);
  const call = useApi<WholeEvent>(`/events/${id}`);
  const isOpen = call.data?.outcome === 'unknown' && call.data.adjustments.length === 0;
  return (
    <Page
      title={t.call.title}
      back={{ href: `${BASE}/calls`, text: t.call.back }}
      lead={call.data && `${format.dateTime(call.data.created_at)} · ${call.data.model}`}
      actions={
        isOpen &&
        may('calls:correct', call.data?.team_id ?? null) && (
          <button type="button" class="button primary" onClick={() => setReleasing(true)}>
            {t.team.release}
          </button>
        )
      }
    >
      <Load of={call} lines={10}>
        {(data) => (
          <>
            <CallFigures call={data} />
            <Panel title={t.call.stages} note={t.call.stagesText}>
              <Stages call={data} />
            </Panel>
            <div class="halves">
              <Panel title={t.call.budgets}>
                <Budgets call={data} />
              </Panel>
              <Panel title={t.call.facts}>
                <Facts call={data} />
              </Panel>
            </div>
            {data.adjustments.length > 0 && <Corrections call={data} />}
            <Labels call={data} />
            <Said call={data} />
          </>
        )}
      </Load>
      {releasing && call.data && (
        <ReleaseDialog
          call={call.data}
          onClose={() => setReleasing(false)}
          onDone={() => {
            setReleasing(false);
            call.reload();
          }}
        />
      )}
    </Page>
  );
}

function Budgets({ call }: { call: WholeEvent }) {
  const t = useMessages();
  const { allocations } = call;
  if (allocations.length === 0) return <p class="quiet">{t.call.noBudgets}</p>;
  const heldRest = restDigits(allocations.map(({ held }) => held));
  const chargedRest = restDigits(allocations.map(({ settled }) => settled));
  return (
    <Table
      caption={t.call.budgets}
      rows={allocations}
      keyOf={(part) => part.counter_id}
      columns={[
        {
          key: 'budget',
          label: t.call.budget,
          heads: true,
          cell: (part) => (
            <>
              {part.source === 'grant' ? t.call.grant : t.call.limit}{' '}
              {part.name ?? (
                <span class="code quiet">
                  {(part.limit_id ?? part.grant_id ?? part.counter_id).slice(-8)}
                </span>
              )}
            </>
          ),
        },
        {
          key: 'held',
          label: t.call.held,
          number: true,
          cell: (part) => <Money usd={part.held} reserve={heldRest} />,
        },
        {
          key: 'charged',
          label: t.call.charged,
          number: true,
          cell: (part) => <Money usd={part.settled} reserve={chargedRest} />,
        },
      ]}
    />
  );
}

/** What people said of its answer. */
function Labels({ call }: { call: WholeEvent }) {
  const t = useMessages();
  const format = useFormat();
  const labels = useApi<PageOf<Label>>('/labels', { call_id: call.id, order: 'desc' });
  const given = labels.data?.data ?? [];
  if (given.length === 0) return null;
  return (
    <Panel title={t.nav.labels}>
      <Table
        caption={t.nav.labels}
        rows={given}
        keyOf={(each) => each.id}
        columns={[
          { key: 'at', label: t.labels.given, heads: true, cell: (each) => format.dateTime(each.created_at) },
          { key: 'label', label: t.labels.label, cell: (each) => <LabelBadge label={each.label} /> },
          { key: 'reason', label: t.call.reason, cell: (each) => each.reason ?? '—' },
          { key: 'by', label: t.call.by, cell: (each) => each.labeller },
        ]}
      />
    </Panel>
  );
}

/** What it said, shown when it is asked for: each reading stands in the audit log. */
function Said({ call }: { call: WholeEvent }) {
  const t = useMessages();
  const may = useMay()('contents:export', call.team_id);
  const [isOpen, setIsOpen] = useState(false);
  const content = useContent(isOpen ? call : undefined);
  if (!may) return null;
  return (
    <Panel
      title={t.content.title}
      note={t.content.note}
      actions={
        !isOpen && (
          <button type="button" class="button" onClick={() => setIsOpen(true)}>
            {t.labels.show}
          </button>
        )
      }
    >
      {content && <Content of={content} />}
    </Panel>
  );
}

function Corrections({ call }: { call: WholeEvent }) {
  const t = useMessages();
  const format = useFormat();
  return (
    <Panel title={t.call.adjustments}>
      <Table
        caption={t.call.adjustments}
        rows={call.adjustments}
        keyOf={(each) => each.id}
        columns={[
          { key: 'at', label: t.audit.at, heads: true, cell: (each) => format.dateTime(each.created_at) },
          {
            key: 'delta',
            label: t.common.amount,
            number: true,
            cell: (each) => <Money usd={each.delta_usd} />,
          },
          { key: 'reason', label: t.call.reason, cell: (each) => each.reason },
          { key: 'actor', label: t.call.by, cell: (each) => each.actor },
        ]}
      />
    </Panel>
  );
}
