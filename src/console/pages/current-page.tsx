/** The page of the current location. */
import type { VNode } from 'preact';
import { Page } from '../parts/page.tsx';
import { PAGES } from '../shell/frame.tsx';
import { useMessages } from '../shell/language.ts';
import { BASE, useLocation } from '../shell/router.ts';
import { useMay, useSession } from '../shell/session.ts';
import { AuditPage } from './audit.tsx';
import { CallPage } from './call.tsx';
import { CallsPage } from './calls.tsx';
import { DepartmentsPage } from './departments.tsx';
import { JobsPage } from './jobs.tsx';
import { KeysPage } from './keys.tsx';
import { LimitsPage } from './limits.tsx';
import { NoticesPage } from './notices.tsx';
import { OverviewPage } from './overview.tsx';
import { PeoplePage } from './people.tsx';
import { PlannerPage } from './planner.tsx';
import { PlansPage } from './plans.tsx';
import { PricesPage } from './prices.tsx';
import { ReconciliationPage } from './reconciliation.tsx';
import { SessionsPage } from './sessions.tsx';
import { TeamPage } from './team.tsx';
import { TeamsPage } from './teams.tsx';
import { UpstreamsPage } from './upstreams.tsx';

const LISTS: Record<keyof typeof PAGES, () => VNode> = {
  overview: OverviewPage,
  departments: DepartmentsPage,
  teams: TeamsPage,
  keys: KeysPage,
  limits: LimitsPage,
  plans: PlansPage,
  prices: PricesPage,
  upstreams: UpstreamsPage,
  planner: PlannerPage,
  calls: CallsPage,
  jobs: JobsPage,
  notices: NoticesPage,
  reconciliation: ReconciliationPage,
  people: PeoplePage,
  sessions: SessionsPage,
  audit: AuditPage,
};

export function CurrentPage() {
  const { parts } = useLocation();
  const { team, permissions } = useSession();
  const may = useMay();
  const [page = 'overview', id, beyond] = parts;
  if (Object.keys(permissions).length === 0) return <NoRole />;
  if (beyond !== undefined) return <NoPage />;
  if (page === 'teams' && id !== undefined) return <TeamPage key={id} id={id} />;
  if (page === 'calls' && id !== undefined) return <CallPage key={id} id={id} />;
  if (id !== undefined || !isPage(page) || !may(PAGES[page])) return <NoPage />;
  if (page === 'teams' && team) return <TeamPage key={team.id} id={team.id} />;
  const List = LISTS[page];
  return <List key={page} />;
}

function isPage(name: string): name is keyof typeof PAGES {
  return Object.hasOwn(PAGES, name);
}

/** For a person without a role: whom to ask. */
function NoRole() {
  const t = useMessages();
  const { person } = useSession();
  return (
    <Page title={t.people.noRole} lead={person?.user_name}>
      <p>{t.people.noRoleText}</p>
    </Page>
  );
}

function NoPage() {
  const t = useMessages();
  return (
    <Page title={t.app.notFound} lead={t.app.notFoundText}>
      <p>
        <a href={BASE}>{t.app.home}</a>
      </p>
    </Page>
  );
}
