/** Departments as rows, each indented by its level. */
import type { ComponentChildren } from 'preact';
import { urlOf } from '../api/client.ts';
import { restDigits } from '../money.ts';
import { Money } from '../parts/money.tsx';
import { Table } from '../parts/table.tsx';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { monthNow } from './dates.ts';
import type { DepartmentNode } from './department-tree.ts';
import { Quantity, UsedBar, windowText } from './limit-text.tsx';

interface DepartmentTableProps {
  nodes: DepartmentNode[];
  actions: ((node: DepartmentNode) => ComponentChildren) | null;
}

export function DepartmentTable({ nodes, actions }: DepartmentTableProps) {
  const t = useMessages();
  const rest = restDigits(nodes.map(({ spentUsd }) => spentUsd));
  return (
    <Table
      caption={t.nav.departments}
      rows={nodes}
      keyOf={({ department }) => department.id}
      columns={[
        {
          key: 'name',
          label: t.departments.department,
          heads: true,
          cell: ({ department, level }) => <span class={`level-${level}`}>{department.name}</span>,
        },
        {
          key: 'teams',
          label: t.nav.teams,
          cell: ({ teams }) =>
            teams.length === 0
              ? '—'
              : teams.map(({ id, name }, place) => (
                  <>
                    {place > 0 && ', '}
                    <a href={`${BASE}/teams/${id}`}>{name}</a>
                  </>
                )),
        },
        {
          key: 'spent',
          label: t.teams.spent,
          number: true,
          cell: ({ department: { id, name }, spentUsd }) => (
            <>
              <Money usd={spentUsd} reserve={rest} />
              <span class="under">
                <a
                  href={urlOf(`/departments/${id}/statement`, { month: monthNow() })}
                  aria-label={t.departments.statement(name)}
                >
                  {t.team.statement}
                </a>
              </span>
            </>
          ),
        },
        {
          key: 'budgets',
          label: t.departments.budgets,
          cell: ({ limits }) => (limits.length === 0 ? '—' : limits.map((limit) => <Budget limit={limit} />)),
        },
        actions && { key: 'actions', label: t.common.actions, quiet: true, cell: actions },
      ]}
    />
  );
}

function Budget({ limit: { meter, amount, window, state } }: { limit: DepartmentNode['limits'][number] }) {
  const t = useMessages();
  return (
    <span class="under">
      <Quantity meter={meter} amount={amount} /> <span class="quiet">{windowText(t, window)}</span>{' '}
      {state && <UsedBar amount={amount} settled={state.settled} held={state.held} />}
    </span>
  );
}
