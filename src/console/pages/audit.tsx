/** Audit: what admins changed, each with the fields that differ and who signed in. */
import type { AuditEntry } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { SelectField } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE, setQuery, useLocation } from '../shell/router.ts';
import { differences } from './differences.ts';
import { TeamFilter } from './filters.tsx';
import { nameIn, useTeamOptions } from './options.tsx';

export function AuditPage() {
  const t = useMessages();
  const resources: Record<AuditEntry['resource'], string> = t.audit.resources;
  const format = useFormat();
  const { query } = useLocation();
  const teams = useTeamOptions();
  const filter = { resource: query.get('resource'), team_id: query.get('team_id') };
  const pages = usePages<AuditEntry>('/audit', filter);
  return (
    <Page title={t.nav.audit} lead={t.audit.lead}>
      <Panel
        plain
        title={t.audit.list}
        actions={
          <>
            <div class="inline">
              <SelectField
                label={t.audit.resource}
                param="resource"
                value={filter.resource ?? ''}
                onValue={(resource) => setQuery({ resource })}
                options={[
                  { value: '', text: t.audit.allResources },
                  ...Object.entries(resources).map(([value, text]) => ({ value, text })),
                ]}
              />
            </div>
            <TeamFilter teams={teams} />
          </>
        }
      >
        <Paged pages={pages} empty={<Empty title={t.audit.empty} text={t.audit.emptyText} />}>
          {(entries) => (
            <Table
              caption={t.audit.list}
              rows={entries}
              keyOf={(entry) => entry.id}
              columns={[
                {
                  key: 'at',
                  label: t.audit.at,
                  heads: true,
                  cell: (entry) => <time dateTime={entry.at}>{format.timeOf(entry.at)}</time>,
                },
                { key: 'actor', label: t.audit.actor, cell: (entry) => entry.actor },
                { key: 'action', label: t.audit.action, cell: (entry) => <What entry={entry} /> },
                {
                  key: 'team',
                  label: t.common.team,
                  cell: (entry) =>
                    entry.team_id === null ? (
                      '—'
                    ) : (
                      <a href={`${BASE}/teams/${entry.team_id}`}>{nameIn(teams, entry.team_id)}</a>
                    ),
                },
                { key: 'change', label: t.audit.change, cell: (entry) => <Change entry={entry} /> },
              ]}
            />
          )}
        </Paged>
      </Panel>
    </Page>
  );
}

function What({ entry: { resource, action, resource_id: id } }: { entry: AuditEntry }) {
  const t = useMessages();
  return (
    <>
      {t.audit.resources[resource] ?? resource} {t.audit.actions[action] ?? action}
      <span class="under code">{id.length > 13 ? `…${id.slice(-12)}` : id}</span>
    </>
  );
}

function Change({ entry }: { entry: AuditEntry }) {
  const t = useMessages();
  const fields = differences(entry.before, entry.after);
  const text = (value: string | null) =>
    value === null ? <span class="quiet">{t.audit.unset}</span> : value;
  return (
    <ul class="changes">
      {fields.map(({ field, before, after }) => (
        <li key={field}>
          <span class="quiet">{field}</span>{' '}
          {before !== null && (
            <>
              <del>
                <span class="hidden">{t.audit.before}: </span>
                {before}
              </del>{' '}
              <span aria-hidden="true">→</span>{' '}
            </>
          )}
          <ins>
            <span class="hidden">{t.audit.after}: </span>
            {text(after)}
          </ins>
        </li>
      ))}
    </ul>
  );
}
