/** Calls: the filtered list, page by page, and as a file. */
import { urlOf } from '../api/client.ts';
import type { Archive, Event } from '../api/types.ts';
import { useApi, usePages } from '../api/use.ts';
import { DateTimeField, SelectField } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { setQuery, useLocation } from '../shell/router.ts';
import { useSession } from '../shell/session.ts';
import { CallTable } from './call-table.tsx';
import { toInstant, toLocalInput } from './dates.ts';
import { TextFilter } from './filters.tsx';
import { useKeyOptions, useOperationOptions, useTeamOptions } from './options.tsx';

const FILTERS = [
  'team_id',
  'key_id',
  'model',
  'operation',
  'upstream',
  'tag',
  'outcome',
  'from',
  'to',
] as const;

export function CallsPage() {
  const t = useMessages();
  const withTeam = useSession().role !== 'team';
  const { query } = useLocation();
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
  const isFiltered = FILTERS.some((name) => query.has(name));
  const pages = usePages<Event>('/events', { ...filter, order: 'desc' });
  const since = useApi<Archive>('/archive').data?.events_since;
  return (
    <Page
      title={t.nav.calls}
      lead={t.calls.lead}
      actions={
        <a class="button" href={urlOf('/events.csv', filter)} download title={t.calls.csvHint}>
          {t.calls.csv}
        </a>
      }
    >
      {since && (
        <p class="notice apart" role="status">
          {t.calls.archived(new Date(since).toISOString().slice(0, 10))}
        </p>
      )}
      <Panel plain title={t.calls.list}>
        <Filters withTeam={withTeam} />
        {isFiltered && (
          <p class="filters-foot">
            <button
              type="button"
              class="button quiet"
              onClick={() => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])))}
            >
              {t.calls.clear}
            </button>
          </p>
        )}
        <Paged pages={pages} empty={<Empty title={t.calls.empty} text={t.calls.emptyText} />}>
          {(calls) => <CallTable calls={calls} withTeam={withTeam} />}
        </Paged>
      </Panel>
    </Page>
  );
}

function Filters({ withTeam }: { withTeam: boolean }) {
  const t = useMessages();
  const { query } = useLocation();
  const teams = useTeamOptions();
  const keys = useKeyOptions(query.get('team_id'));
  const operations = useOperationOptions();
  const all = { value: '', text: t.common.all };
  const outcomes = (['settled', 'voided', 'unknown'] as const).map((value) => ({
    value,
    text: t.calls.outcomes[value],
  }));
  const of = (name: string) => ({
    param: name,
    value: query.get(name) ?? '',
    onValue: (value: string) => setQuery({ [name]: value }),
  });
  const date = (name: string) => ({
    param: name,
    value: toLocalInput(query.get(name)),
    onValue: (text: string) => {
      const at = toInstant(text);
      if (at !== undefined) setQuery({ [name]: at });
    },
  });
  return (
    <search class="filters" aria-label={t.calls.filter}>
      {withTeam && (
        <SelectField
          label={t.common.team}
          {...of('team_id')}
          onValue={(id) => setQuery({ team_id: id, key_id: null })}
          options={[{ value: '', text: t.common.allTeams }, ...teams]}
        />
      )}
      <SelectField label={t.common.key} {...of('key_id')} options={[all, ...keys]} />
      <TextFilter label={`${t.common.model} (${t.calls.modelHint})`} param="model" />
      <SelectField label={t.calls.operation} {...of('operation')} options={[all, ...operations]} />
      <TextFilter label={t.calls.tag} param="tag" />
      <SelectField label={t.calls.outcome} {...of('outcome')} options={[all, ...outcomes]} />
      <DateTimeField label={t.calls.from} {...date('from')} />
      <DateTimeField label={t.calls.to} {...date('to')} />
    </search>
  );
}
