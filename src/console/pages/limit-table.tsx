/** Limits as rows: whom they bind, in which window, how much of it is used. */
import type { ComponentChildren } from 'preact';
import type { Limit, Window } from '../api/types.ts';
import { restDigits } from '../money.ts';
import { Money, moneyText } from '../parts/money.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import type { Words } from '../words/words.ts';
import { UsedBar } from './used-bar.tsx';

/** What both lists of limits have: the rule, and the state of its window where it is known. */
export type LimitRow = Pick<Limit, 'id' | 'subject' | 'meter' | 'amount' | 'window'> &
  Partial<
    Pick<Limit, 'team_id' | 'team_name' | 'subject_name' | 'settled' | 'held' | 'remaining' | 'resets_at'>
  > & {
    over_limit_usd?: string;
  };

export function windowText(t: Words, window: Window): string {
  if (window.type === 'rolling') return t.limits.rolling(String(window.seconds));
  if (window.type === 'lifetime') return t.limits.per.lifetime;
  return t.limits.per[window.unit];
}

interface LimitTableProps {
  limits: LimitRow[];
  withTeam: boolean;
  keyName: (id: string) => string;
  actions?: (limit: LimitRow) => ComponentChildren;
}

export function LimitTable({ limits, withTeam, keyName, actions }: LimitTableProps) {
  const t = useWords();
  const format = useFormat();
  const leftRest = restDigits(limits.map((limit) => limit.remaining));
  return (
    <Table
      caption={t.nav.limits}
      rows={limits}
      keyOf={(limit) => limit.id}
      columns={[
        withTeam
          ? {
              key: 'team',
              label: t.common.team,
              heads: true,
              cell: ({ team_id: id = '', team_name: name }) => (
                <a href={`${BASE}/teams/${id}`}>{name ?? id.slice(0, 8)}</a>
              ),
            }
          : null,
        {
          key: 'subject',
          label: t.limits.subject,
          heads: !withTeam,
          cell: ({ subject, subject_name: name }) =>
            subject.type === 'key' ? t.limits.ofKey(name ?? keyName(subject.id)) : t.limits.subjectTeam,
        },
        {
          key: 'amount',
          label: t.common.amount,
          cell: (limit) => (
            <>
              <Quantity limit={limit} amount={limit.amount} />{' '}
              <span class="quiet">{windowText(t, limit.window)}</span>
              {limit.window.type === 'calendar' && <span class="under">{limit.window.time_zone}</span>}
            </>
          ),
        },
        {
          key: 'used',
          label: t.limits.used,
          cell: ({ amount, settled, held }) =>
            settled === undefined ? '—' : <UsedBar amount={amount} settled={settled} held={held ?? '0'} />,
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
                <Quantity limit={limit} amount={limit.remaining} reserve={leftRest} />
                {limit.over_limit_usd && limit.over_limit_usd !== '0.00' && (
                  <span class="under">
                    {moneyText(limit.over_limit_usd)} {t.limits.over}
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
              <time dateTime={at} title={format.moment(at)}>
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

/** Money, or a number of what the limit counts. */
function Quantity({ limit, amount, reserve }: { limit: LimitRow; amount: string; reserve?: number }) {
  if (limit.meter === 'cost_usd') return <Money usd={amount} reserve={reserve} />;
  return (
    <span class="numeric">
      {amount.replace(/\.0+$/, '')} {limit.meter}
    </span>
  );
}
