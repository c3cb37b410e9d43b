/** Which model for what: price, speed and what people said of the output, on one's own traffic. */
import type { ModelReport } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import type { Messages } from '../messages/messages.ts';
import { restDigits, toMillionths } from '../money.ts';
import { Money, moneyText } from '../parts/money.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { type Format, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useLocation } from '../shell/router.ts';
import { useSession } from '../shell/session.ts';
import { DaysFilter, TeamFilter, TextFilter, useDays, useSince } from './filters.tsx';
import { useTags, useTeamOptions } from './options.tsx';

type Model = ModelReport['data'][number];
const TAG = /^[^=]+=.+$/;

export function ModelsPage() {
  const t = useMessages();
  const format = useFormat();
  const withTeam = useSession().role !== 'team';
  const teams = useTeamOptions();
  const suggested = useTags().flatMap(({ name, values }) =>
    (values ?? ['']).map((value) => `${name}=${value}`),
  );
  const { query } = useLocation();
  const tag = query.get('tag') ?? '';
  const from = useSince(useDays());
  const report = useApi<ModelReport>('/models/report', {
    ...{ from, team_id: query.get('team_id') },
    tag: TAG.test(tag) ? tag : null,
  });
  return (
    <Page title={t.nav.models} lead={t.models.lead}>
      <Panel plain title={t.models.list}>
        <search class="filters" aria-label={t.models.filter}>
          {withTeam && <TeamFilter teams={teams} />}
          <TextFilter label={t.calls.tag} param="tag" among={suggested} />
          <DaysFilter />
        </search>
        <Load of={report} lines={8}>
          {({ data, looked_at: lookedAt }) =>
            data.length === 0 ? (
              <Empty title={t.models.empty} text={t.models.emptyText} />
            ) : (
              <>
                <Table
                  caption={t.models.list}
                  rows={data}
                  keyOf={({ model }) => model}
                  columns={columnsOf(t, format, data)}
                />
                <p class="hint apart">
                  {t.reports.lookedAt(format.count(lookedAt.calls), format.count(lookedAt.most))}{' '}
                  {t.models.note}
                </p>
              </>
            )
          }
        </Load>
      </Panel>
    </Page>
  );
}

function columnsOf(t: Messages, format: Format, models: readonly Model[]): Column<Model>[] {
  const reserve = restDigits(models.map(({ cost_usd }) => cost_usd));
  const reserveAccepted = restDigits(
    models.map(({ cost_per_accepted_usd: usd }) => usd && toMillionths(usd)),
  );
  const seconds = (ms: number | null) => (ms === null ? '—' : format.duration(Math.round(ms * 1_000)));
  return [
    {
      key: 'model',
      label: t.common.model,
      heads: true,
      cell: ({ model, calls }) => (
        <>
          <span class="unbroken">{model}</span>
          <span class="under">{t.common.callCount(calls, format.count(calls))}</span>
        </>
      ),
    },
    {
      key: 'cost',
      label: t.overview.spent,
      number: true,
      cell: ({ cost_usd: cost, cost_per_call_usd: perCall }) => (
        <>
          <Money usd={cost} reserve={reserve} />
          <span class="under">{t.models.perCall(moneyText(toMillionths(perCall)))}</span>
        </>
      ),
    },
    { key: 'price', label: t.models.price, number: true, cell: (model) => <Price model={model} /> },
    {
      key: 'latency',
      label: t.models.latency,
      number: true,
      cell: ({ latency_median_ms: median, latency_p95_ms: p95 }) => (
        <>
          {seconds(median)}
          {p95 !== null && <span class="under">{t.models.p95(seconds(p95))}</span>}
        </>
      ),
    },
    {
      key: 'firstByte',
      label: t.upstreams.firstByte,
      number: true,
      cell: ({ first_byte_ms: first, output_tokens_per_second: speed }) => (
        <>
          {seconds(first)}
          {/* Embeddings and the like have no output. */}
          {speed !== null && speed > 0 && (
            <span class="under">{t.models.speed(format.count(Math.round(speed)))}</span>
          )}
        </>
      ),
    },
    { key: 'labels', label: t.models.accepted, number: true, cell: (model) => <Accepted model={model} /> },
    {
      key: 'perAccepted',
      label: t.models.perAccepted,
      number: true,
      cell: ({ cost_per_accepted_usd: perAccepted, agreement }) => (
        <>
          {perAccepted === null ? '—' : <Money usd={toMillionths(perAccepted)} reserve={reserveAccepted} />}
          {agreement !== null && <span class="under">{t.models.agreement(format.percent(agreement))}</span>}
        </>
      ),
    },
  ];
}

function Price({ model }: { model: Model }) {
  const { input_usd_per_million: input, output_usd_per_million: output } = model;
  if (input === null) return <>—</>;
  return (
    <span class="unbroken">
      <Money usd={input} /> / {output === null ? '—' : <Money usd={output} />}
    </span>
  );
}

/** The share that people accepted, what it was before, and how the labels fell. */
function Accepted({ model }: { model: Model }) {
  const t = useMessages();
  const format = useFormat();
  const { accepted_share: share, accepted_share_before: before, accepted, edited, rejected } = model;
  if (share === null) return <>—</>;
  const trend = before === null || before === share ? '' : share > before ? ' ↑' : ' ↓';
  return (
    <>
      {format.percent(share)}
      {before !== null && (
        <span title={t.models.before(format.percent(before))}>
          <span aria-hidden="true">{trend}</span>
          <span class="hidden"> {t.models.before(format.percent(before))}</span>
        </span>
      )}
      <span class="under wraps">
        {t.models.labels(format.count(accepted), format.count(edited), format.count(rejected))}
      </span>
    </>
  );
}
