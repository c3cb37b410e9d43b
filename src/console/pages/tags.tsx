/** Tags: which names and values calls may have, what the calls with one of them spent, and the limits on it. */
import { useState } from 'preact/hooks';
import { remove } from '../api/client.ts';
import type { Page as PageOf, Tag } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { ListPage } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { type Format, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE, useLocation } from '../shell/router.ts';
import { useMay } from '../shell/session.ts';
import { TagForm } from './tag-form.tsx';
import { TagLimitsPanel } from './tag-limits.tsx';
import { TagSpend } from './tag-spend.tsx';

/** As many rules as there may be, and more. */
const TAGS_MAX = 1_000;
/** Its rule is that of all names without one. */
const ANY = '*';
const VALUES_SHOWN = 8;

type Dialog = { what: 'create' } | { what: 'change' | 'delete'; tag: Tag };

export function TagsPage() {
  const t = useMessages();
  const mayChange = useMay()('plans:write', 'all');
  const { query } = useLocation();
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const tags = useApi<PageOf<Tag>>('/tags', { limit: TAGS_MAX });
  const names = (tags.data?.data ?? []).map(({ name }) => name).filter((name) => name !== ANY);
  const chosen = query.get('name') ?? names[0];
  return (
    <>
      <ListPage
        title={t.nav.tags}
        lead={t.tags.lead}
        listTitle={t.tags.allowed}
        create={mayChange ? { text: t.tags.new, onClick: () => setDialog({ what: 'create' }) } : null}
        dialogs={
          dialog && (
            <TagDialogs
              dialog={dialog}
              onClose={() => setDialog(null)}
              onDone={(text) => {
                announce(text);
                tags.reload();
                setDialog(null);
              }}
            />
          )
        }
      >
        <Load of={tags}>
          {({ data }) =>
            data.length === 0 ? (
              <Empty title={t.tags.empty} text={t.tags.emptyText} />
            ) : (
              <TagTable tags={data} chosen={chosen} onOpen={mayChange ? setDialog : null} />
            )
          }
        </Load>
      </ListPage>
      {chosen !== undefined && (
        <>
          <TagSpend
            key={chosen}
            name={chosen}
            value={query.get('value')}
            rule={tags.data?.data.find(({ name }) => name === chosen) ?? null}
          />
          <TagLimitsPanel name={chosen} value={query.get('value')} />
        </>
      )}
    </>
  );
}

interface TagTableProps {
  tags: readonly Tag[];
  chosen: string | undefined;
  /** Null: nothing may be changed. */
  onOpen: ((dialog: Dialog) => void) | null;
}

function TagTable({ tags, chosen, onOpen }: TagTableProps) {
  const t = useMessages();
  const format = useFormat();
  return (
    <Table
      caption={t.tags.allowed}
      rows={tags}
      keyOf={({ name }) => name}
      columns={[
        {
          key: 'name',
          label: t.common.name,
          heads: true,
          cell: ({ name, required }) => (
            <>
              {name === ANY ? (
                t.tags.anyName
              ) : (
                <a
                  href={`${BASE}/tags?${new URLSearchParams({ name })}`}
                  aria-current={name === chosen ? 'true' : undefined}
                >
                  {name}
                </a>
              )}{' '}
              {required && <span class="badge">{t.tags.requiredBadge}</span>}
            </>
          ),
        },
        { key: 'values', label: t.tags.values, cell: (tag) => <Values tag={tag} /> },
        {
          key: 'sources',
          label: t.tags.sources,
          cell: ({ sources }) => sources.map((source) => t.tags.sourceNames[source]).join(', '),
        },
        {
          key: 'unknown',
          label: t.tags.onUnknown,
          cell: ({ on_unknown: what }) => t.tags.onUnknownNames[what],
        },
        { key: 'open', label: t.tags.open, number: true, cell: (tag) => openOf(format, tag) },
        {
          key: 'idle',
          label: t.tags.closing,
          number: true,
          cell: ({ values, idle_days: days }) =>
            values === null ? t.tags.afterDays(format.count(days)) : '—',
        },
        onOpen && {
          key: 'actions',
          label: t.common.actions,
          quiet: true,
          cell: (tag) => (
            <>
              <button type="button" class="button small" onClick={() => onOpen({ what: 'change', tag })}>
                {t.common.change}
                <span class="hidden"> {tag.name}</span>
              </button>{' '}
              <button type="button" class="button small" onClick={() => onOpen({ what: 'delete', tag })}>
                {t.common.remove}
                <span class="hidden"> {tag.name}</span>
              </button>
            </>
          ),
        },
      ]}
    />
  );
}

function Values({ tag: { values, pattern } }: { tag: Tag }) {
  const t = useMessages();
  if (values === null)
    return pattern === null ? <span>{t.tags.anyValue}</span> : <span class="code">{pattern}</span>;
  const more = values.length - VALUES_SHOWN;
  return (
    <span title={values.join(', ')}>
      {values.slice(0, VALUES_SHOWN).join(', ')}
      {more > 0 && ` ${t.tags.moreValues(more)}`}
    </span>
  );
}

function openOf(format: Format, { values, open_values: open, max_values: most }: Tag) {
  if (values !== null) return '—';
  return (
    <span class={open >= most * 0.8 ? 'badge near' : undefined}>
      {format.count(open)} / {format.count(most)}
    </span>
  );
}

interface DialogProps {
  dialog: Dialog;
  onClose: () => void;
  onDone: (text: string) => void;
}

function TagDialogs({ dialog, onClose, onDone }: DialogProps) {
  const t = useMessages();
  if (dialog.what !== 'delete') {
    return <TagForm tag={dialog.what === 'change' ? dialog.tag : null} onClose={onClose} onDone={onDone} />;
  }
  const { name } = dialog.tag;
  return (
    <FormDialog
      title={t.tags.deleteTitle(name)}
      text={t.tags.deleteText}
      submit={t.common.remove}
      danger
      onClose={onClose}
      send={async () => {
        await remove<Tag>(`/tags/${encodeURIComponent(name)}`);
        onDone(t.tags.deleted(name));
      }}
    />
  );
}
