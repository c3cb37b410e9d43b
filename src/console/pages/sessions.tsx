/** Who is signed in to the console, and the button that ends a session. */
import { useState } from 'preact/hooks';
import { remove } from '../api/client.ts';
import type { OpenSession } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { nameIn, useTeamOptions } from './options.tsx';

export function SessionsPage() {
  const t = useMessages();
  const format = useFormat();
  const teams = useTeamOptions();
  const [ending, setEnding] = useState<OpenSession | null>(null);
  const pages = usePages<OpenSession>('/sessions', {}, 20);
  const ownerOf = ({ role, team_id: teamId, actor }: OpenSession) => {
    if (role === 'person') return actor.replace(/^person /, '');
    return teamId === null ? t.app.admin : t.app.teamKey(nameIn(teams, teamId));
  };
  return (
    <Page title={t.nav.sessions} lead={t.sessions.text}>
      <Panel title={t.sessions.title}>
        <Paged pages={pages} empty={<Empty title={t.sessions.empty} />}>
          {(sessions) => (
            <Table
              caption={t.sessions.title}
              rows={sessions}
              keyOf={(session) => session.id}
              columns={[
                {
                  key: 'who',
                  label: t.audit.actor,
                  heads: true,
                  cell: (session) => (
                    <>
                      {ownerOf(session)}
                      <span class="under code">{session.actor}</span>
                    </>
                  ),
                },
                {
                  key: 'from',
                  label: t.sessions.from,
                  cell: (session) => (
                    <>
                      {session.address || '—'}
                      <span class="under">{session.user_agent}</span>
                    </>
                  ),
                },
                {
                  key: 'since',
                  label: t.sessions.since,
                  cell: (session) => (
                    <time dateTime={session.created_at}>{format.timeOf(session.created_at)}</time>
                  ),
                },
                {
                  key: 'expires',
                  label: t.common.expires,
                  cell: (session) => (
                    <time dateTime={session.expires_at}>{format.timeOf(session.expires_at)}</time>
                  ),
                },
                {
                  key: 'end',
                  label: t.common.actions,
                  quiet: true,
                  cell: (session) =>
                    session.current ? (
                      t.sessions.current
                    ) : (
                      <button type="button" class="button small" onClick={() => setEnding(session)}>
                        {t.sessions.end}
                        <span class="hidden"> {session.actor}</span>
                      </button>
                    ),
                },
              ]}
            />
          )}
        </Paged>
      </Panel>
      {ending && (
        <FormDialog
          title={t.sessions.endTitle}
          text={t.sessions.endText(ownerOf(ending), ending.address)}
          submit={t.sessions.end}
          danger
          onClose={() => setEnding(null)}
          send={async () => {
            await remove(`/sessions/${ending.id}`);
            announce(t.sessions.ended);
            setEnding(null);
            pages.reload();
          }}
        />
      )}
    </Page>
  );
}
