/** Limits as rows: subject, window, used share. */
import type { ComponentChildren } from 'preact';
import type { Limit } from '../api/types.ts';
import { isZero, restDigits } from '../money.ts';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { Quantity, quantityText, subjectText, UsedBar, windowText } from './limit-text.tsx';
import { nameIn, type Option } from './options.tsx';

/** What both lists of limits have: the rule, and the state of its window where it is known. */
export type LimitRow = Pick<Limit, 'id' | 'name' | 'subject' | 'meter' | 'amount' | 'window'> &
  Partial<Pick<Limit, 'team_id' | 'models' | 'enforcement'>> &
  Partial<NonNullable<Limit['state']>> & { over_limit_usd?: string };

interface LimitTableProps {
  limits: LimitRow[];
  /** To name them; null: all are of one team. */
  teams: Option[] | null;
  /** Of a key or a department. */
  nameOf: (id: string) => string;
  actions?: ((limit: LimitRow) => ComponentChildren) | undefined;
}

export function LimitTable({ limits, teams, nameOf, actions }: LimitTableProps) {
  const t = useMessages();
  const format = useFormat();
  const leftRest = restDigits(limits.map((limit) => limit.remaining));
  return (
    <Table
      caption={t.nav.limits}
      rows={limits}
      keyOf={(limit) => limit.id}
      columns={[
        teams
          ? {
              key: 'team',
              label: t.common.team,
              heads: true,
              cell: ({ team_id: id = null }) =>
                id === null ? t.common.allTeams : <a href={`${BASE}/teams/${id}`}>{nameIn(teams, id)}</a>,
            }
          : null,
        {
          key: 'subject',
          label: t.limits.subject,
          heads: teams === null,
          cell: ({ name, subject, models, enforcement }) => (
            <>
              {name ?? subjectText(t, subject, nameOf)}{' '}
              {enforcement === 'soft' && <span class="badge">{t.limits.softBadge}</span>}
              {name && <span class="under">{subjectText(t, subject, nameOf)}</span>}
              {models && <span class="under">{t.limits.modelsOf(models.join(', '))}</span>}
            </>
          ),
        },
        {
          key: 'amount',
          label: t.common.amount,
          cell: (limit) => (
            <>
              <Quantity meter={limit.meter} amount={limit.amount} />{' '}
              <span class="quiet">{windowText(t, limit.window)}</span>
              {limit.window.type === 'calendar' && <span class="under">{limit.window.time_zone}</span>}
              {limit.raises?.map(({ id, amount, until, reason }) => (
                <span key={id} class="under" title={reason}>
                  {t.limits.raisedBy(quantityText(t, limit.meter, amount), format.dateTime(until))}
                </span>
              ))}
            </>
          ),
        },
        {
          key: 'used',
          label: t.limits.used,
          cell: ({ meter, amount, settled, held = '0' }) => {
            if (settled === undefined) return '—';
            // Calls at once are never settled: those in flight are what is used.
            const isFlow = meter === 'concurrency';
            return <UsedBar amount={amount} settled={isFlow ? held : settled} held={isFlow ? '0' : held} />;
          },
        },
        {
          key: 'left',
          label: t.grants.left,
          number: true,
          cell: (limit) =>
            limit.remaining === undefined ? (
              '—'
            ) : (
              <>
                <Quantity meter={limit.meter} amount={limit.remaining} reserve={leftRest} />
                {limit.over_limit_usd && !isZero(limit.over_limit_usd) && (
                  <span class="under">
                    {quantityText(t, limit.meter, limit.over_limit_usd)} {t.limits.over}
                  </span>
                )}
              </>
            ),
        },
        {
          key: 'resets',
          label: t.limits.resets,
          number: true,
          cell: ({ resets_at: at }) =>
            at ? (
              <time dateTime={at} title={format.dateTime(at)}>
                {format.relative(at)}
              </time>
            ) : (
              <span class="quiet">{t.common.never}</span>
            ),
        },
        actions ? { key: 'actions', label: t.common.actions, quiet: true, cell: actions } : null,
      ]}
    />
  );
}
