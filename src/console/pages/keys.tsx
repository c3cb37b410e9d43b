/** Keys: the list of all, and those of a team. */
import { useState } from 'preact/hooks';
import type { Key, Page as PageOf } from '../api/types.ts';
import { type Loaded, usePages } from '../api/use.ts';
import { Tick } from '../parts/field.tsx';
import { ListPage, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE, setQuery, useLocation } from '../shell/router.ts';
import { useMay, useSession } from '../shell/session.ts';
import { TeamFilter } from './filters.tsx';
import { type KeyDialogState, KeyDialogs } from './key-dialogs.tsx';
import { nameIn, type Option, useTeamOptions } from './options.tsx';

export function KeysPage() {
  const t = useMessages();
  const withTeam = useSession().role !== 'team';
  const may = useMay();
  const { query } = useLocation();
  const teamId = query.get('team_id');
  const withRevoked = query.get('include_deleted') === 'true';
  const teams = useTeamOptions();
  const [dialog, setDialog] = useState<KeyDialogState | null>(null);
  const pages = usePages<Key>('/keys', { team_id: teamId, include_deleted: withRevoked || null });
  return (
    <ListPage
      title={t.nav.keys}
      lead={t.keys.lead}
      create={may('keys:write') ? { text: t.keys.new, onClick: () => setDialog({ what: 'create' }) } : null}
      filters={
        <>
          {withTeam && <TeamFilter teams={teams} />}
          <Tick
            label={t.keys.showRevoked}
            checked={withRevoked}
            onChecked={(shown) => setQuery({ include_deleted: shown ? 'true' : null })}
          />
        </>
      }
      dialogs={
        <KeyDialogs dialog={dialog} teamId={teamId} onClose={() => setDialog(null)} onDone={pages.reload} />
      }
    >
      <Paged pages={pages} empty={<Empty title={t.keys.empty} text={t.keys.emptyText} />}>
        {(keys) => (
          <KeyTable
            keys={keys}
            teams={withTeam ? teams : null}
            onOpen={may('keys:write') ? setDialog : null}
          />
        )}
      </Paged>
    </ListPage>
  );
}

interface TeamKeysProps {
  teamId: string;
  keys: Loaded<PageOf<Key>>;
  canChange: boolean;
}

export function TeamKeysPanel({ teamId, keys, canChange }: TeamKeysProps) {
  const t = useMessages();
  const [dialog, setDialog] = useState<KeyDialogState | null>(null);
  return (
    <Panel
      title={t.nav.keys}
      actions={
        canChange && (
          <button type="button" class="button" onClick={() => setDialog({ what: 'create' })}>
            {t.keys.new}
          </button>
        )
      }
    >
      <Load of={keys}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title={t.keys.empty} text={t.keys.emptyText} />
          ) : (
            <KeyTable keys={data} teams={null} onOpen={canChange ? setDialog : null} />
          )
        }
      </Load>
      <KeyDialogs dialog={dialog} teamId={teamId} onClose={() => setDialog(null)} onDone={keys.reload} />
    </Panel>
  );
}

interface KeyTableProps {
  keys: Key[];
  /** To name them; null: all are of one team. */
  teams: Option[] | null;
  onOpen: ((dialog: KeyDialogState) => void) | null;
}

function KeyTable({ keys, teams, onOpen }: KeyTableProps) {
  const t = useMessages();
  const may = useMay();
  const format = useFormat();
  return (
    <Table
      caption={t.nav.keys}
      rows={keys}
      keyOf={(key) => key.id}
      isFaded={(key) => stateOf(key) !== 'active'}
      columns={[
        { key: 'name', label: t.common.name, heads: true, cell: (key) => key.name },
        teams
          ? {
              key: 'team',
              label: t.common.team,
              cell: (key) => <a href={`${BASE}/teams/${key.team_id}`}>{nameIn(teams, key.team_id)}</a>,
            }
          : null,
        { key: 'prefix', label: t.keys.prefix, cell: (key) => <span class="code">{key.prefix}…</span> },
        { key: 'models', label: t.keys.models, cell: (key) => key.models?.join(', ') ?? t.common.all },
        { key: 'created', label: t.common.created, number: true, cell: (key) => format.day(key.created_at) },
        {
          key: 'expires',
          label: t.common.expires,
          number: true,
          cell: (key) => (key.expires_at === null ? t.common.never : format.day(key.expires_at)),
        },
        {
          key: 'state',
          label: t.common.state,
          cell: (key) => {
            const state = stateOf(key);
            const until = key.previous_expires_at;
            return (
              <>
                <span class={state === 'active' ? 'badge fine' : 'badge'}>{t.keys[state]}</span>
                {until !== null && Date.parse(until) > Date.now() && (
                  <span class="under">{t.keys.previousUntil(format.shortDateTime(until))}</span>
                )}
              </>
            );
          },
        },
        onOpen
          ? {
              key: 'actions',
              label: t.common.actions,
              quiet: true,
              cell: (key) =>
                key.revoked_at === null &&
                may('keys:write', key.team_id) && (
                  <>
                    <button
                      type="button"
                      class="button small"
                      onClick={() => onOpen({ what: 'rotate', key })}
                    >
                      {t.keys.rotate}
                      <span class="hidden"> {key.name}</span>
                    </button>
                    <button
                      type="button"
                      class="button small"
                      onClick={() => onOpen({ what: 'revoke', key })}
                    >
                      {t.keys.revoke}
                      <span class="hidden"> {key.name}</span>
                    </button>
                  </>
                ),
            }
          : null,
      ]}
    />
  );
}

function stateOf({ revoked_at: revoked, expires_at: expires }: Key): 'active' | 'expired' | 'revoked' {
  if (revoked !== null) return 'revoked';
  return expires !== null && Date.parse(expires) <= Date.now() ? 'expired' : 'active';
}
