/** Keys: who holds which, and what may be done with them. */
import { useState } from 'preact/hooks';
import type { Key, Page as PageOf } from '../api/types.ts';
import { type Loaded, usePages } from '../api/use.ts';
import { SelectField, Tick } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import { BASE, setQuery, usePlace } from '../shell/router.ts';
import { useSession } from '../shell/session.ts';
import { type KeyAsked, KeyDialogs } from './key-dialogs.tsx';
import { nameIn, type Option, useTeamOptions } from './names.ts';

export function KeysPage() {
  const t = useWords();
  const isAdmin = useSession().role === 'admin';
  const { query } = usePlace();
  const teamId = query.get('team_id');
  const withRevoked = query.get('include_deleted') === 'true';
  const teams = useTeamOptions();
  const [asked, setAsked] = useState<KeyAsked | null>(null);
  const pages = usePages<Key>('/keys', { team_id: teamId, include_deleted: withRevoked || null });
  return (
    <Page
      title={t.nav.keys}
      lead={t.keys.lead}
      actions={
        isAdmin && (
          <button type="button" class="button primary" onClick={() => setAsked({ what: 'make' })}>
            {t.keys.new}
          </button>
        )
      }
    >
      <Panel
        plain
        title={t.nav.keys}
        actions={
          <>
            {isAdmin && (
              <div class="inline">
                <SelectField
                  label={t.common.team}
                  param="team_id"
                  value={teamId ?? ''}
                  onValue={(id) => setQuery({ team_id: id })}
                  options={[{ value: '', text: t.common.allTeams }, ...teams]}
                />
              </div>
            )}
            <Tick
              label={t.keys.showRevoked}
              checked={withRevoked}
              onChecked={(shown) => setQuery({ include_deleted: shown ? 'true' : null })}
            />
          </>
        }
      >
        <Paged pages={pages} empty={<Empty title={t.keys.empty} text={t.keys.emptyText} />}>
          {(keys) => (
            <KeyTable keys={keys} teams={isAdmin ? teams : null} onAsk={isAdmin ? setAsked : null} />
          )}
        </Paged>
      </Panel>
      <KeyDialogs asked={asked} teamId={teamId} onClose={() => setAsked(null)} onDone={pages.reload} />
    </Page>
  );
}

interface TeamKeysProps {
  teamId: string;
  keys: Loaded<PageOf<Key>>;
  canChange: boolean;
}

export function TeamKeysPanel({ teamId, keys, canChange }: TeamKeysProps) {
  const t = useWords();
  const [asked, setAsked] = useState<KeyAsked | null>(null);
  return (
    <Panel
      title={t.nav.keys}
      actions={
        canChange && (
          <button type="button" class="button" onClick={() => setAsked({ what: 'make' })}>
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
            <KeyTable keys={data} teams={null} onAsk={canChange ? setAsked : null} />
          )
        }
      </Load>
      <KeyDialogs asked={asked} teamId={teamId} onClose={() => setAsked(null)} onDone={keys.reload} />
    </Panel>
  );
}

interface KeyTableProps {
  keys: Key[];
  /** To name them; null: all are of one team. */
  teams: Option[] | null;
  onAsk: ((asked: KeyAsked) => void) | null;
}

function KeyTable({ keys, teams, onAsk }: KeyTableProps) {
  const t = useWords();
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
                  <span class="under">{t.keys.previousUntil(format.shortMoment(until))}</span>
                )}
              </>
            );
          },
        },
        onAsk
          ? {
              key: 'actions',
              label: t.common.actions,
              quiet: true,
              cell: (key) =>
                key.revoked_at === null && (
                  <>
                    <button type="button" class="button small" onClick={() => onAsk({ what: 'rotate', key })}>
                      {t.keys.rotate}
                      <span class="hidden"> {key.name}</span>
                    </button>
                    <button type="button" class="button small" onClick={() => onAsk({ what: 'revoke', key })}>
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
