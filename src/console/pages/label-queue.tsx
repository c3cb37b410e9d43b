/**
 * The queue of calls to check: a list, and the call whose turn it is. Keys work while the focus is in the queue and not in a
 * field. Invariant: what was labelled stays in its place until the page of the list is done.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Event, Label, Page } from '../api/types.ts';
import { asApiError, useApi, usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { AreaField, TextField } from '../parts/field.tsx';
import { Money } from '../parts/money.tsx';
import { Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty, errorText } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useLocation } from '../shell/router.ts';
import { useMay } from '../shell/session.ts';
import { answerOf, Content, useContent } from './call-content.tsx';
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
      ...{ order: 'desc', outcome: 'settled', labelled: query.get('labelled') ?? 'wanted' },
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
  const [said, setSaid] = useState<Said>(NOTHING);
  const [problem, setProblem] = useState('');
  const call = calls[place];
  const content = useContent(call);
  const go = (to: number) => {
    setPlace(Math.max(0, Math.min(calls.length - 1, to)));
    setSaid(NOTHING);
    setProblem('');
  };
  const label = async (what: Given) => {
    if (call === undefined || !may('labels:write', call.team_id)) return;
    try {
      await post<Label>('/labels', { call_id: call.id, label: what, ...saidOf(said, what) });
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
  useKeys(box, (key) => {
    const what = KEYS[key];
    if (what !== undefined) void label(what);
    else if (key === 'j') go(place + 1);
    else if (key === 'k') go(place - 1);
    else return false;
    return true;
  });
  return (
    <div class="halves" ref={box}>
      <Panel title={t.labels.queue} note={t.labels.keys}>
        <QueueTable calls={calls} given={given} place={place} onPlace={go} />
      </Panel>
      {call !== undefined && (
        <Panel
          title={t.labels.place(place + 1, calls.length)}
          note={content?.data?.state === 'kept' ? t.content.note : t.labels.where}
        >
          {content !== null && <Content of={content} />}
          <div class="label-form">
            {!given.has(call.id) && <Meanwhile call={call} />}
            {content?.data?.state === 'kept' && (
              <AreaField
                label={t.labels.answer}
                hint={t.labels.answerHint}
                param="edited_text"
                optional
                value={said.edited ?? answerOf(content.data) ?? ''}
                onValue={(edited) => setSaid({ ...said, edited })}
              />
            )}
            <TextField
              label={t.limits.reason}
              param="reason"
              optional
              value={said.reason}
              onValue={(reason) => setSaid({ ...said, reason })}
            />
            {problem !== '' && (
              <p class="error" role="alert">
                {problem}
              </p>
            )}
            <Verbs disabled={!may('labels:write', call.team_id)} onLabel={label} />
          </div>
          <Facts call={call} />
        </Panel>
      )}
    </div>
  );
}

interface Said {
  reason: string;
  /** The answer as it was changed; null: it was not. */
  edited: string | null;
}

const NOTHING: Said = { reason: '', edited: null };

/** What goes with a label: only what is called edited has an edited answer. */
function saidOf({ reason, edited }: Said, what: Given) {
  const text = edited?.trim() ?? '';
  return {
    reason: reason.trim() === '' ? null : reason.trim(),
    ...(what === 'edited' && text !== '' ? { edited_text: text } : {}),
  };
}

/** Keys while the focus is in the box and not in a field. @param onKey returns whether the key is one */
function useKeys(box: { current: HTMLElement | null }, onKey: (key: string) => boolean): void {
  const latest = useRef(onKey);
  latest.current = onKey;
  useEffect(() => {
    const listener = (event: KeyboardEvent) => {
      const target = event.target as Element;
      if (event.metaKey || event.ctrlKey || event.altKey || target.closest('input, select, textarea')) return;
      if (latest.current(event.key)) event.preventDefault();
    };
    const element = box.current;
    element?.addEventListener('keydown', listener);
    return () => element?.removeEventListener('keydown', listener);
  }, [box]);
}

/** Another person may have labelled it since the list was read. */
function Meanwhile({ call }: { call: Event }) {
  const t = useMessages();
  const isSecond = useLocation().query.get('labelled') !== null;
  const labels = useApi<Page<Label>>(isSecond ? null : '/labels', {
    call_id: call.id,
    order: 'desc',
    limit: 1,
  });
  const [last] = labels.loading ? [] : (labels.data?.data ?? []);
  if (last === undefined) return null;
  return <p class="hint">{t.labels.meanwhile(t.labels.names[last.label], last.labeller)}</p>;
}

function Verbs({ disabled, onLabel }: { disabled: boolean; onLabel: (what: Given) => Promise<void> }) {
  const t = useMessages();
  return (
    <div class="panel-actions">
      {LABELS.map((what) => (
        <button
          key={what}
          type="button"
          class="button"
          disabled={disabled}
          onClick={() => void onLabel(what)}
        >
          {t.labels.verbs[what]}
          <kbd>{what[0]?.toUpperCase()}</kbd>
        </button>
      ))}
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
