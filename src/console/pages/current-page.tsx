/** The page of the current location. */
import { Page } from '../parts/page.tsx';
import { useMessages } from '../shell/language.ts';
import { BASE, useLocation } from '../shell/router.ts';
import { useSession } from '../shell/session.ts';
import { AuditPage } from './audit.tsx';
import { CallPage } from './call.tsx';
import { CallsPage } from './calls.tsx';
import { DepartmentsPage } from './departments.tsx';
import { JobsPage } from './jobs.tsx';
import { KeysPage } from './keys.tsx';
import { LimitsPage } from './limits.tsx';
import { OverviewPage } from './overview.tsx';
import { PlannerPage } from './planner.tsx';
import { PlansPage } from './plans.tsx';
import { PricesPage } from './prices.tsx';
import { TeamPage } from './team.tsx';
import { TeamsPage } from './teams.tsx';
import { UpstreamsPage } from './upstreams.tsx';

export function CurrentPage() {
  const { parts } = useLocation();
  const { role, team } = useSession();
  const [page = 'overview', id, beyond] = parts;
  if (beyond !== undefined) return <NoPage />;
  if (page === 'teams' && id !== undefined) return <TeamPage key={id} id={id} />;
  if (page === 'calls' && id !== undefined) return <CallPage key={id} id={id} />;
  if (id !== undefined) return <NoPage />;
  if (page === 'overview') return <OverviewPage key={page} />;
  if (page === 'teams') return team ? <TeamPage key={team.id} id={team.id} /> : <TeamsPage key={page} />;
  if (page === 'keys') return <KeysPage key={page} />;
  if (page === 'limits') return <LimitsPage key={page} />;
  if (page === 'calls') return <CallsPage key={page} />;
  if (page === 'jobs') return <JobsPage key={page} />;
  if (role === 'admin') {
    if (page === 'departments') return <DepartmentsPage key={page} />;
    if (page === 'plans') return <PlansPage key={page} />;
    if (page === 'prices') return <PricesPage key={page} />;
    if (page === 'upstreams') return <UpstreamsPage key={page} />;
    if (page === 'planner') return <PlannerPage key={page} />;
    if (page === 'audit') return <AuditPage key={page} />;
  }
  return <NoPage />;
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
