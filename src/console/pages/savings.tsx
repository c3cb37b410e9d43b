/** Savings: what could be cheaper, in dollars, each with what was compared and the request that shows its rows. */
import type { Savings } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { isZero, restDigits } from '../money.ts';
import { About, Money } from '../parts/money.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useLocation } from '../shell/router.ts';
import { useSession } from '../shell/session.ts';
import { DaysFilter, TeamFilter, useDays, useSince } from './filters.tsx';
import { useTeamOptions } from './options.tsx';
import { Figure } from './overview-figures.tsx';

type Saving = Savings['data'][number];
type SavedModel = Saving['models'][number];

export function SavingsPage() {
  const t = useMessages();
  const withTeam = useSession().role !== 'team';
  const teams = useTeamOptions();
  const from = useSince(useDays());
  const savings = useApi<Savings>('/savings', { from, team_id: useLocation().query.get('team_id') });
  return (
    <Page
      title={t.nav.savings}
      lead={t.savings.lead}
      actions={
        <>
          {withTeam && <TeamFilter teams={teams} />}
          <DaysFilter />
        </>
      }
    >
      <Load of={savings} lines={10}>
        {({ data, looked_at: lookedAt }) => (
          <>
            <dl class="figures thirds">
              {data.map((saving) => (
                <SavingFigure key={saving.kind} saving={saving} />
              ))}
            </dl>
            {data.map((saving) => (
              <SavingPanel key={saving.kind} saving={saving} lookedAt={lookedAt} />
            ))}
          </>
        )}
      </Load>
    </Page>
  );
}

function SavingFigure({ saving }: { saving: Saving }) {
  const t = useMessages();
  const format = useFormat();
  const { kind, bound, saving_usd: usd, share } = saving;
  const notes = [t.savings.bounds[bound]];
  if (share !== null) notes.push(t.savings.cachedShare(format.percent(share)));
  return (
    <Figure label={t.savings.kinds[kind]} notes={notes}>
      {usd === null ? '—' : <About usd={usd} />}
    </Figure>
  );
}

function SavingPanel({ saving, lookedAt }: { saving: Saving; lookedAt: Savings['looked_at'] }) {
  const t = useMessages();
  const format = useFormat();
  const { kind, query, models, saving_usd: usd } = saving;
  return (
    <Panel title={t.savings.kinds[kind]} note={t.savings.texts[kind]}>
      {models.length > 0 ? (
        <ModelTable kind={kind} models={models} />
      ) : (
        usd !== null && <p class="quiet">{isZero(usd) ? t.savings.nothing : ''}</p>
      )}
      {query !== null && (
        <details class="more found">
          <summary>
            {t.savings.how}
            <span class="hidden"> {t.savings.kinds[kind]}</span>
          </summary>
          <p>{t.savings.hows[kind] ?? ''}</p>
          {query.includes('/events?') && (
            <p>{t.reports.lookedAt(format.count(lookedAt.calls), format.count(lookedAt.most))}</p>
          )}
          <a class="code" href={query.replace(/^GET /, '')} target="_blank" rel="noreferrer">
            {query}
            <span class="hidden"> ({t.app.newTab})</span>
          </a>
        </details>
      )}
    </Panel>
  );
}

function ModelTable({ kind, models }: { kind: Saving['kind']; models: readonly SavedModel[] }) {
  const t = useMessages();
  const format = useFormat();
  const reserve = restDigits(models.map((each) => each.spent_usd));
  return (
    <Table
      caption={t.savings.kinds[kind]}
      rows={models}
      keyOf={({ model }) => model}
      columns={[
        {
          key: 'model',
          label: t.common.model,
          heads: true,
          cell: ({ model, instead }) => (
            <>
              {model}
              {instead !== null && <span class="under">{t.savings.instead(instead)}</span>}
            </>
          ),
        },
        { key: 'calls', label: t.nav.calls, number: true, cell: ({ calls }) => format.count(calls) },
        {
          key: 'spent',
          label: t.overview.spent,
          number: true,
          cell: ({ spent_usd: spent }) => <Money usd={spent} reserve={reserve} />,
        },
        {
          key: 'saving',
          label: t.savings.saving,
          number: true,
          cell: ({ saving_usd: saving }) => <About usd={saving} />,
        },
      ]}
    />
  );
}
