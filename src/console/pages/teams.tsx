/** Teams: their spend and what their budgets have left. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Overview, OverviewTeam, Team } from '../api/types.ts';
import { useApi, usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField, Tick } from '../parts/field.tsx';
import { ListPage } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { TIME_ZONE } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE, navigate } from '../shell/router.ts';
import { useMay } from '../shell/session.ts';
import { usePlans } from './options.tsx';
import { TeamTable } from './team-table.tsx';

const POLL_MS = 10_000;

export function TeamsPage() {
  const t = useMessages();
  const may = useMay();
  const [making, setMaking] = useState(false);
  const [withDeleted, setWithDeleted] = useState(false);
  const pages = usePages<Team>('/teams', { include_deleted: withDeleted || null });
  const ids = (pages.data?.data ?? []).map(({ id }) => id).join(',');
  const query = { time_zone: TIME_ZONE, team_ids: ids };
  const overview = useApi<Overview>(ids === '' ? null : '/overview', query, POLL_MS);
  const figures = new Map((overview.data?.teams ?? []).map((team) => [team.id, team]));
  return (
    <ListPage
      title={t.nav.teams}
      lead={t.teams.lead}
      create={may('teams:write', null) ? { text: t.teams.new, onClick: () => setMaking(true) } : null}
      filters={<Tick label={t.common.showDeleted} checked={withDeleted} onChecked={setWithDeleted} />}
      dialogs={making && <NewTeamDialog onClose={() => setMaking(false)} />}
    >
      <Paged pages={pages} empty={<Empty title={t.teams.empty} text={t.teams.emptyText} />}>
        {(teams) => (
          <TeamTable
            teams={teams.map((team) => figures.get(team.id) ?? withoutFigures(team))}
            badges={(id) => <Badges team={teams.find((team) => team.id === id)} />}
          />
        )}
      </Paged>
    </ListPage>
  );
}

function withoutFigures({ id, name }: Team): OverviewTeam {
  return { id, name, spent_month_usd: '0.00', remaining_usd: null, exhausts_at: null, tightest: null };
}

export function Badges({ team }: { team: Team | undefined }) {
  const t = useMessages();
  if (!team) return null;
  return (
    <>
      {team.plan !== null && <span class="badge">{team.plan}</span>}{' '}
      {team.unlimited && <span class="badge near">{t.teams.unlimitedBadge}</span>}{' '}
      {team.models && <span class="badge">{t.limits.modelsOf(team.models.join(', '))}</span>}{' '}
      {team.deleted_at !== null && <span class="badge">{t.common.deleted}</span>}
    </>
  );
}

function NewTeamDialog({ onClose }: { onClose: () => void }) {
  const t = useMessages();
  const plans = usePlans();
  const [name, setName] = useState('');
  const [plan, setPlan] = useState('');
  const [unlimited, setUnlimited] = useState(false);
  return (
    <FormDialog
      title={t.teams.new}
      submit={t.teams.new}
      onClose={onClose}
      check={() => ({ name: name.trim() === '' && t.common.required })}
      send={async () => {
        const team = await post<Team>('/teams', {
          name: name.trim(),
          plan: plan === '' ? null : plan,
          unlimited,
        });
        announce(t.teams.made(team.name));
        navigate(`${BASE}/teams/${team.id}`);
      }}
    >
      <TextField label={t.common.name} param="name" value={name} onValue={setName} autofocus />
      <SelectField
        label={t.teams.plan}
        param="plan"
        hint={t.teams.planHint}
        value={plan}
        onValue={setPlan}
        options={[
          { value: '', text: t.teams.noPlan },
          ...plans.map((each) => ({ value: each.name, text: each.name })),
        ]}
      />
      <Tick
        label={t.teams.unlimited}
        hint={t.teams.unlimitedHint}
        checked={unlimited}
        onChecked={setUnlimited}
      />
    </FormDialog>
  );
}
