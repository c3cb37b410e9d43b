/** Labels: the queue of calls whose output people check, and what was said of others. */
import type { ComponentChildren } from 'preact';
import type { Label } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { Choice } from '../parts/choice.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE, setQuery, useLocation } from '../shell/router.ts';
import { useMay, useSession } from '../shell/session.ts';
import { ChoiceFilter, TeamFilter, TextFilter } from './filters.tsx';
import { LabelBadge } from './label-badge.tsx';
import { LabelQueue } from './label-queue.tsx';
import { nameIn, type Option, useTeamOptions } from './options.tsx';

export function LabelsPage() {
  const t = useMessages();
  const mayLabel = useMay()('labels:write');
  const withTeam = useSession().role !== 'team';
  const { query } = useLocation();
  const teams = useTeamOptions();
  const shown = !mayLabel || query.get('show') === 'given' ? 'given' : 'queue';
  const team = withTeam && <TeamFilter teams={teams} />;
  return (
    <Page
      title={t.nav.labels}
      lead={t.labels.lead}
      actions={
        mayLabel && (
          <Choice
            label={t.labels.show}
            value={shown}
            onChange={(show) => setQuery({ show: show === 'queue' ? null : show, label: null })}
            options={(['queue', 'given'] as const).map((value) => ({ value, text: t.labels.shows[value] }))}
          />
        )
      }
    >
      {shown === 'queue' ? (
        <>
          <search class="filters" aria-label={t.calls.filter}>
            {team}
            <TextFilter label={`${t.common.model} (${t.calls.modelHint})`} param="model" />
            <TextFilter label={t.calls.tag} param="tag" />
            <ChoiceFilter
              label={t.labels.which}
              param="labelled"
              texts={t.labels.whichCalls}
              all={t.labels.unlabelled}
            />
          </search>
          <LabelQueue />
        </>
      ) : (
        <GivenPanel teams={withTeam ? teams : null} teamFilter={team} />
      )}
    </Page>
  );
}

interface GivenProps {
  /** By name; null: there is only the team of the session. */
  teams: readonly Option[] | null;
  teamFilter: ComponentChildren;
}

function GivenPanel({ teams, teamFilter }: GivenProps) {
  const t = useMessages();
  const format = useFormat();
  const { query } = useLocation();
  const pages = usePages<Label>('/labels', {
    ...{ order: 'desc', team_id: query.get('team_id') },
    label: query.get('label'),
  });
  return (
    <Panel
      plain
      title={t.labels.shows.given}
      actions={
        <>
          <ChoiceFilter label={t.labels.label} param="label" texts={t.labels.names} />
          {teamFilter}
        </>
      }
    >
      <Paged pages={pages} empty={<Empty title={t.labels.empty} text={t.labels.emptyText} />}>
        {(labels) => (
          <Table
            caption={t.labels.shows.given}
            rows={labels}
            keyOf={({ id }) => id}
            columns={[
              {
                key: 'at',
                label: t.labels.given,
                heads: true,
                cell: ({ created_at: at, call_id: call }) => (
                  <a href={`${BASE}/calls/${call}`}>
                    <time dateTime={at}>{format.timeOf(at)}</time>
                  </a>
                ),
              },
              teams && {
                key: 'team',
                label: t.common.team,
                cell: ({ team_id: id }) => <a href={`${BASE}/teams/${id}`}>{nameIn(teams, id)}</a>,
              },
              {
                key: 'label',
                label: t.labels.label,
                cell: ({ label }) => <LabelBadge label={label} />,
              },
              { key: 'reason', label: t.limits.reason, cell: ({ reason }) => reason ?? '—' },
              { key: 'by', label: t.call.by, cell: ({ labeller }) => labeller },
            ]}
          />
        )}
      </Paged>
    </Panel>
  );
}
