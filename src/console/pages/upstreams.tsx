/** The upstreams of the configuration file: what they serve, and how they do. */
import type { Upstream } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import type { Messages } from '../messages/messages.ts';
import { Money } from '../parts/money.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { type Format, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';

/** How often the state is read again. */
const POLL_MS = 5_000;

export function UpstreamsPage() {
  const t = useMessages();
  const format = useFormat();
  const upstreams = useApi<{ data: Upstream[] }>('/upstreams', {}, POLL_MS);
  return (
    <Page title={t.upstreams.title} lead={t.upstreams.lead}>
      <Panel plain title={t.upstreams.title} note={t.upstreams.note}>
        <Load of={upstreams}>
          {({ data }) =>
            data.length === 0 ? (
              <Empty title={t.upstreams.one} text={t.upstreams.oneText} />
            ) : (
              <Table
                caption={t.upstreams.title}
                rows={data}
                keyOf={({ name }) => name}
                columns={columnsOf(t, format)}
              />
            )
          }
        </Load>
      </Panel>
    </Page>
  );
}

function columnsOf(t: Messages, format: Format): Column<Upstream>[] {
  const { settled, voided, unknown } = t.calls.outcomes;
  const number = (key: string, label: string, read: (upstream: Upstream) => number): Column<Upstream> => ({
    key,
    label,
    number: true,
    cell: (upstream) => format.count(read(upstream)),
  });
  return [
    {
      key: 'name',
      label: t.call.upstream,
      heads: true,
      cell: ({ name, kind, base_url: url }) => (
        <>
          <a href={`${BASE}/calls?upstream=${encodeURIComponent(name)}`}>{name}</a>
          <span class="under code">
            {kind} · {url}
          </span>
        </>
      ),
    },
    {
      key: 'state',
      label: t.upstreams.state,
      cell: ({ state, breaker_open: isOpen, teams_with_open_breaker: teams }) => (
        <>
          <span class={state === 'up' ? 'badge fine' : 'badge full'}>{t.upstreams.states[state]}</span>
          {isOpen && <span class="under">{t.upstreams.breaker}</span>}
          {teams > 0 && <span class="under">{t.upstreams.teamBreakers(teams)}</span>}
        </>
      ),
    },
    {
      key: 'models',
      label: t.upstreams.models,
      cell: ({ models, model_names: names, teams }) => (
        <>
          <span class="code">{[...(models ?? []), ...Object.keys(names)].join(', ') || t.upstreams.all}</span>
          {teams !== null && <span class="under">{teams.join(', ')}</span>}
        </>
      ),
    },
    number('weight', t.upstreams.weight, ({ weight }) => weight),
    {
      key: 'firstByte',
      label: t.upstreams.firstByte,
      number: true,
      cell: ({ first_byte_ms: ms }) => (ms === null ? '—' : `${format.count(ms)} ms`),
    },
    number('waiting', t.upstreams.waiting, ({ waiting_calls: count }) => count),
    number('settled', settled, ({ calls }) => calls.settled),
    number('voided', voided, ({ calls }) => calls.voided),
    number('unknown', unknown, ({ calls }) => calls.unknown),
    number('moved', t.upstreams.moved, ({ moved_calls: count }) => count),
    {
      key: 'cost',
      label: t.upstreams.spend,
      number: true,
      cell: ({ cost_usd: usd, price_percent: percent }) => (
        <>
          <Money usd={usd} />
          {percent !== 100 && <span class="under">{t.upstreams.percent(percent)}</span>}
        </>
      ),
    },
  ];
}
