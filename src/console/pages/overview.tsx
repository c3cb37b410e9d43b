/** Overview: what was spent, by whom, what is left and until when, which calls were denied or failed. */
import { useMemo, useState } from 'preact/hooks';
import type { Overview } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { Page, Panel } from '../parts/page.tsx';
import { Load } from '../parts/states.tsx';
import { TIME_ZONE } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { useMay, useSession } from '../shell/session.ts';
import { ErrorsPanel } from './overview-errors.tsx';
import { Figures } from './overview-figures.tsx';
import { type Range, rangeOf, SpendPanel } from './overview-spend.tsx';
import { WarningsPanel } from './overview-warnings.tsx';
import { StoreNotice } from './store-notice.tsx';
import { TeamTable } from './team-table.tsx';

const POLL_MS = 5_000;

export function OverviewPage() {
  const t = useMessages();
  const { role, team } = useSession();
  const may = useMay();
  const [range, setRange] = useState<Range>('30d');
  const overview = useApi<Overview>('/overview', { time_zone: TIME_ZONE }, POLL_MS);
  // Read at each render, so that the range moves on when a new bucket begins.
  const firstMs = rangeOf(range, Date.now())[0];
  const from = useMemo(() => new Date(firstMs).toISOString(), [firstMs]);
  return (
    <Page title={t.nav.overview} lead={team?.name}>
      {may('store', null) && <StoreNotice />}
      <Load of={overview} lines={3}>
        {(data) => <Figures overview={data} />}
      </Load>
      <SpendPanel range={range} onRange={setRange} from={from} pollMs={POLL_MS} />
      {role !== 'team' ? (
        <div class="columns">
          <Panel title={t.overview.teams} actions={<a href={`${BASE}/teams`}>{t.overview.allTeams}</a>}>
            <Load of={overview}>
              {(data) => <TeamTable teams={data.teams} total={data.month_to_date_usd} />}
            </Load>
          </Panel>
          <div>
            <ErrorsPanel kind="denial" from={from} range={range} pollMs={POLL_MS} />
            <ErrorsPanel kind="error" from={from} range={range} pollMs={POLL_MS} />
            <WarningsPanel pollMs={POLL_MS} />
          </div>
        </div>
      ) : (
        <div class="halves">
          <div>
            <ErrorsPanel kind="denial" from={from} range={range} pollMs={POLL_MS} />
            <ErrorsPanel kind="error" from={from} range={range} pollMs={POLL_MS} />
          </div>
          <WarningsPanel pollMs={POLL_MS} teamId={team?.id} />
        </div>
      )}
    </Page>
  );
}
