/** The page of the current location. */
import type { VNode } from 'preact';
import { Page } from '../parts/page.tsx';
import { mayOpen, PAGES, type PageName } from '../shell/frame.tsx';
import { useMessages } from '../shell/language.ts';
import { BASE, useLocation } from '../shell/router.ts';
import { useMay, useSession } from '../shell/session.ts';
import { AuditPage } from './audit.tsx';
import { CallPage } from './call.tsx';
import { CallsPage } from './calls.tsx';
import { DepartmentsPage } from './departments.tsx';
import { JobsPage } from './jobs.tsx';
import { KeysPage } from './keys.tsx';
import { lazy } from './lazy.tsx';
import { LimitsPage } from './limits.tsx';
import { NoticesPage } from './notices.tsx';
import { OverviewPage } from './overview.tsx';
import { PlansPage } from './plans.tsx';
import { PricesPage } from './prices.tsx';
import { SessionsPage } from './sessions.tsx';
import { TeamPage } from './team.tsx';
import { TeamsPage } from './teams.tsx';
import { UpstreamsPage } from './upstreams.tsx';

const LISTS: Record<PageName, () => VNode> = {
  overview: OverviewPage,
  departments: DepartmentsPage,
  teams: TeamsPage,
  keys: KeysPage,
  limits: LimitsPage,
  tags: lazy('tags'),
  plans: PlansPage,
  prices: PricesPage,
  upstreams: UpstreamsPage,
  planner: lazy('planner'),
  calls: CallsPage,
  jobs: JobsPage,
  savings: lazy('savings'),
  models: lazy('models'),
  labels: lazy('labels'),
  notices: NoticesPage,
  reconciliation: lazy('reconciliation'),
  people: lazy('people'),
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
  if (id !== undefined || !isPage(page) || !mayOpen(may, page)) return <NoPage />;
  if (page === 'teams' && team) return <TeamPage key={team.id} id={team.id} />;
  const List = LISTS[page];
  return <List key={page} />;
}

function isPage(name: string): name is PageName {
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
