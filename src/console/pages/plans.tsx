/** Plans: the credit that new teams start with. */
import { useState } from 'preact/hooks';
import { remove } from '../api/client.ts';
import type { Plan } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { moneyText } from '../parts/money.tsx';
import { ListPage } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useMay } from '../shell/session.ts';
import { quantityText, windowText } from './limit-text.tsx';
import { PlanDialog } from './plan-dialog.tsx';

type PlanDialogState = { what: 'create' } | { what: 'change' | 'delete'; plan: Plan };

export function PlansPage() {
  const t = useMessages();
  const mayChange = useMay()('plans:write', null);
  const [dialog, setDialog] = useState<PlanDialogState | null>(null);
  const pages = usePages<Plan>('/plans', {});
  const close = () => setDialog(null);
  const done = (text: string) => {
    announce(text);
    pages.reload();
    close();
  };
  return (
    <ListPage
      title={t.nav.plans}
      lead={t.plans.lead}
      create={mayChange ? { text: t.plans.new, onClick: () => setDialog({ what: 'create' }) } : null}
      dialogs={
        <>
          {dialog?.what === 'create' && <PlanDialog plan={null} onClose={close} onDone={done} />}
          {dialog?.what === 'change' && <PlanDialog plan={dialog.plan} onClose={close} onDone={done} />}
          {dialog?.what === 'delete' && (
            <FormDialog
              title={t.plans.deleteTitle(dialog.plan.name)}
              text={t.plans.deleteText}
              submit={t.common.remove}
              danger
              onClose={close}
              send={async () => {
                await remove<Plan>(`/plans/${encodeURIComponent(dialog.plan.name)}`);
                done(t.plans.deleted(dialog.plan.name));
              }}
            />
          )}
        </>
      }
    >
      <Paged pages={pages} empty={<Empty title={t.plans.empty} text={t.plans.emptyText} />}>
        {(plans) => (
          <PlanTable plans={plans} onOpen={mayChange ? (what, plan) => setDialog({ what, plan }) : null} />
        )}
      </Paged>
    </ListPage>
  );
}

interface PlanTableProps {
  plans: Plan[];
  onOpen: ((what: 'change' | 'delete', plan: Plan) => void) | null;
}

function PlanTable({ plans, onOpen }: PlanTableProps) {
  const t = useMessages();
  const format = useFormat();
  const creditOf = ({ grants }: Plan) =>
    grants.map(({ amount_usd: amount, months }) => t.plans.for(moneyText(amount), months)).join(' + ');
  const limitsOf = ({ limits }: Plan) =>
    limits
      .map(({ meter, amount, window }) => `${quantityText(t, meter, amount)} ${windowText(t, window)}`)
      .join(', ');
  return (
    <Table
      caption={t.nav.plans}
      rows={plans}
      keyOf={(plan) => plan.name}
      columns={[
        { key: 'name', label: t.common.name, heads: true, cell: (plan) => plan.name },
        { key: 'grants', label: t.plans.grants, cell: (plan) => creditOf(plan) || t.plans.noGrants },
        { key: 'limits', label: t.nav.limits, cell: (plan) => limitsOf(plan) || t.plans.noLimits },
        { key: 'models', label: t.keys.models, cell: (plan) => plan.models?.join(', ') ?? t.plans.allModels },
        {
          key: 'created',
          label: t.common.created,
          number: true,
          cell: (plan) => format.day(plan.created_at),
        },
        onOpen && {
          key: 'actions',
          label: t.common.actions,
          quiet: true,
          cell: (plan) => (
            <>
              <button type="button" class="button small" onClick={() => onOpen('change', plan)}>
                {t.common.change}
                <span class="hidden"> {plan.name}</span>
              </button>
              <button type="button" class="button small" onClick={() => onOpen('delete', plan)}>
                {t.common.remove}
                <span class="hidden"> {plan.name}</span>
              </button>
            </>
          ),
        },
      ]}
    />
  );
}
