/**
 * The queue of calls to check: a list, and the call whose turn it is. Keys work while the focus is in the queue and not in a
 * field. Invariant: what was labelled stays in its place until the page of the list is done.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Event, Label } from '../api/types.ts';
import { asApiError, usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { TextField } from '../parts/field.tsx';
import { Money } from '../parts/money.tsx';
import { Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty, errorText } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useLocation } from '../shell/router.ts';
import { useMay } from '../shell/session.ts';
import { Facts } from './call-facts.tsx';
import { costOf } from './call-table.tsx';
import { LabelBadge } from './label-badge.tsx';

type Given = Label['label'];

const PAGE = 20;
const KEYS: Record<string, Given> = { a: 'accepted', e: 'edited', r: 'rejected' };
const LABELS = ['accepted', 'edited', 'rejected'] as const;

export function LabelQueue() {
  const t = useMessages();
  const { query } = useLocation();
  const pages = usePages<Event>(
    '/events',
    {
      ...{ order: 'desc', outcome: 'settled', labelled: query.get('labelled') ?? 'false' },
      ...{ team_id: query.get('team_id'), model: query.get('model'), tag: query.get('tag') },
    },
    PAGE,
  );
  return (
    <Paged pages={pages} empty={<Empty title={t.labels.queueEmpty} text={t.labels.queueEmptyText} />}>
      {(calls) => <Queue key={calls[0]?.id} calls={calls} onDone={pages.toNext ?? pages.reload} />}
    </Paged>
  );
}

interface QueueProps {
  calls: readonly Event[];
  /** All of these have a label. */
  onDone: () => void;
}

function Queue({ calls, onDone }: QueueProps) {
  const t = useMessages();
  const may = useMay();
  const box = useRef<HTMLDivElement>(null);
  const [given, setGiven] = useState<ReadonlyMap<string, Given>>(new Map());
  const [place, setPlace] = useState(0);
  const [reason, setReason] = useState('');
  const [problem, setProblem] = useState('');
  const call = calls[place];
  const go = (to: number) => {
    setPlace(Math.max(0, Math.min(calls.length - 1, to)));
    setReason('');
    setProblem('');
  };
  const label = async (what: Given) => {
    if (call === undefined || !may('labels:write', call.team_id)) return;
    try {
      const text = reason.trim();
      await post<Label>('/labels', { call_id: call.id, label: what, reason: text === '' ? null : text });
    } catch (error) {
      return setProblem(errorText(t, asApiError(error)));
    }
    const all = new Map([...given, [call.id, what]]);
    setGiven(all);
    announce(t.labels.done(t.labels.names[what], calls.length - all.size));
    if (all.size === calls.length) return onDone();
    const next = calls.findIndex(({ id }, index) => index > place && !all.has(id));
    go(next === -1 ? calls.findIndex(({ id }) => !all.has(id)) : next);
  };
  const onKey = useRef<(event: KeyboardEvent) => void>(() => {});
  onKey.current = (event) => {
    const target = event.target as Element;
    if (event.metaKey || event.ctrlKey || event.altKey || target.closest('input, select, textarea')) return;
    const what = KEYS[event.key];
    if (what !== undefined) void label(what);
    else if (event.key === 'j') go(place + 1);
    else if (event.key === 'k') go(place - 1);
    else return;
    event.preventDefault();
  };
  useEffect(() => {
    const listener = (event: KeyboardEvent) => onKey.current(event);
    const element = box.current;
    element?.addEventListener('keydown', listener);
    return () => element?.removeEventListener('keydown', listener);
  }, []);
  return (
    <div class="columns" ref={box}>
      <Panel title={t.labels.queue} note={t.labels.keys}>
        <QueueTable calls={calls} given={given} place={place} onPlace={go} />
      </Panel>
      {call !== undefined && (
        <Panel title={t.labels.place(place + 1, calls.length)} note={t.labels.where}>
          <Facts call={call} />
          <div class="label-form">
            <TextField label={t.limits.reason} param="reason" optional value={reason} onValue={setReason} />
            {problem !== '' && (
              <p class="error" role="alert">
                {problem}
              </p>
            )}
            <div class="panel-actions">
              {LABELS.map((what) => (
                <button
                  key={what}
                  type="button"
                  class="button"
                  disabled={!may('labels:write', call.team_id)}
                  onClick={() => void label(what)}
                >
                  {t.labels.verbs[what]}
                  <kbd>{what[0]?.toUpperCase()}</kbd>
                </button>
              ))}
            </div>
          </div>
        </Panel>
      )}
    </div>
  );
}

interface TableProps {
  calls: readonly Event[];
  given: ReadonlyMap<string, Given>;
  place: number;
  onPlace: (place: number) => void;
}

function QueueTable({ calls, given, place, onPlace }: TableProps) {
  const t = useMessages();
  const format = useFormat();
  return (
    <Table
      caption={t.labels.queue}
      rows={calls}
      keyOf={({ id }) => id}
      columns={[
        {
          key: 'time',
          label: t.calls.time,
          heads: true,
          cell: (call) => (
            <button
              type="button"
              class="link"
              aria-current={call.id === calls[place]?.id ? 'true' : undefined}
              onClick={() => onPlace(calls.indexOf(call))}
            >
              {format.timeOf(call.created_at)}
            </button>
          ),
        },
        { key: 'team', label: t.common.team, cell: (call) => call.team_name },
        { key: 'model', label: t.common.model, cell: (call) => <span class="unbroken">{call.model}</span> },
        {
          key: 'cost',
          label: t.calls.cost,
          number: true,
          cell: (call) => <Money usd={costOf(call)} />,
        },
        {
          key: 'label',
          label: t.labels.label,
          cell: ({ id }) => {
            const label = given.get(id);
            return label === undefined ? '—' : <LabelBadge label={label} />;
          },
        },
      ]}
    />
  );
}
