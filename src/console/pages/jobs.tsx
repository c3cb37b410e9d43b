/** Jobs: what goes on upstream after its response, what it holds, and what it has cost. */
import type { Job } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import type { Messages } from '../messages/messages.ts';
import { restDigits } from '../money.ts';
import { Money } from '../parts/money.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { type Format, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE, useLocation } from '../shell/router.ts';
import { useSession } from '../shell/session.ts';
import { ChoiceFilter, TeamFilter } from './filters.tsx';
import { nameIn, type Option, useTeamOptions } from './options.tsx';

/** A badge's look by state. */
const LOOKS = { asked: '', running: '', settled: 'fine', voided: '', unknown: 'near' } as const;

export function JobsPage() {
  const t = useMessages();
  const format = useFormat();
  const withTeam = useSession().role !== 'team';
  const { query } = useLocation();
  const teams = useTeamOptions();
  const pages = usePages<Job>('/jobs', {
    team_id: query.get('team_id'),
    kind: query.get('kind'),
    state: query.get('state'),
  });
  return (
    <Page title={t.nav.jobs} lead={t.jobs.lead}>
      <Panel
        plain
        title={t.jobs.list}
        actions={
          <>
            <ChoiceFilter label={t.jobs.kind} param="kind" texts={t.jobs.kinds} />
            <ChoiceFilter label={t.common.state} param="state" texts={t.jobs.states} />
            {withTeam && <TeamFilter teams={teams} />}
          </>
        }
      >
        <Paged pages={pages} empty={<Empty title={t.jobs.empty} text={t.jobs.emptyText} />}>
          {(jobs) => (
            <Table
              caption={t.jobs.list}
              rows={jobs}
              keyOf={({ id }) => id}
              columns={columnsOf(t, format, jobs, withTeam ? teams : null)}
            />
          )}
        </Paged>
      </Panel>
    </Page>
  );
}

/** @param teams by name; null: there is only the team of the session */
function columnsOf(
  t: Messages,
  format: Format,
  jobs: readonly Job[],
  teams: readonly Option[] | null,
): (Column<Job> | null)[] {
  const money = (key: string, label: string, read: (job: Job) => string | null): Column<Job> => {
    const reserve = restDigits(jobs.flatMap((job) => read(job) ?? []));
    const cell = (job: Job) => {
      const usd = read(job);
      return usd === null ? '—' : <Money usd={usd} reserve={reserve} />;
    };
    return { key, label, number: true, cell };
  };
  return [
    {
      key: 'started',
      label: t.jobs.started,
      heads: true,
      cell: ({ id, created_at: at, ended_at: endedAt }) => {
        const time = <time dateTime={at}>{format.timeOf(at)}</time>;
        // Its event is in the ledger once it has ended.
        return endedAt === null ? time : <a href={`${BASE}/calls/${id}`}>{time}</a>;
      },
    },
    teams && {
      key: 'team',
      label: t.common.team,
      cell: ({ team_id: id }) => <a href={`${BASE}/teams/${id}`}>{nameIn(teams, id)}</a>,
    },
    {
      key: 'kind',
      label: t.jobs.kind,
      cell: ({ kind, upstream_id: id }) => (
        <>
          {t.jobs.kinds[kind]}
          <span class="under code">{id}</span>
        </>
      ),
    },
    {
      key: 'model',
      label: t.common.model,
      cell: ({ model }) => <span class="unbroken">{model || t.jobs.severalModels}</span>,
    },
    { key: 'state', label: t.common.state, cell: (job) => stateOf(t, format, job) },
    money('held', t.call.held, ({ held_usd: usd }) => usd),
    money('forecast', t.jobs.forecast, ({ forecast_usd: usd }) => usd),
    money('settled', t.jobs.settled, ({ settled_usd: usd }) => usd),
    { key: 'problem', label: t.jobs.problem, cell: ({ problem }) => problem ?? '—' },
  ];
}

function stateOf(t: Messages, format: Format, job: Job) {
  const { state, upstream_status: status, done, total } = job;
  return (
    <>
      <span class={`badge ${LOOKS[state]}`}>{t.jobs.states[state]}</span>
      {status !== null && <span class="under code">{status}</span>}
      {done !== null && total !== null && (
        <span class="under">{t.jobs.lines(format.count(done), format.count(total))}</span>
      )}
    </>
  );
}
