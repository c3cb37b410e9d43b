/** Prices: the rate card, the prices that admins set, and their history. */
import { useMemo, useState } from 'preact/hooks';
import { remove } from '../api/client.ts';
import type { Page as PageOf, Price } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { Choice } from '../parts/choice.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { ListPage } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { setQuery, useLocation } from '../shell/router.ts';
import { useMay } from '../shell/session.ts';
import { PriceDialog } from './price-dialog.tsx';
import { ChangeTable, PriceTable } from './price-tables.tsx';
import { byModel, changesOf, currentPrices } from './rate-card.ts';

const PRICES_MAX = 1_000;
const SHOWN_AT_ONCE = 60;
const TIERS = ['default', 'flex', 'priority', 'batch'] as const;

export function PricesPage() {
  const t = useMessages();
  const format = useFormat();
  const { query } = useLocation();
  const text = (query.get('model') ?? '').toLowerCase();
  const tier = query.get('tier') ?? 'default';
  const tab = query.get('show') === 'changes' ? 'changes' : 'card';
  const mayChange = useMay()('prices:write', null);
  const [shown, setShown] = useState(SHOWN_AT_ONCE);
  const [dialog, setDialog] = useState<{ what: 'create' } | { what: 'delete'; price: Price } | null>(null);
  const prices = useApi<PageOf<Price>>('/prices', { limit: PRICES_MAX, include_deleted: true });
  const all = useMemo(() => prices.data?.data ?? [], [prices.data]);
  const matching = all.filter(
    (price) => price.model.toLowerCase().includes(text) && (tier === 'all' || price.tier === tier),
  );
  const rows = tab === 'card' ? currentPrices(matching, Date.now()).sort(byModel) : changesOf(matching);
  const close = () => setDialog(null);
  const done = (said: string) => {
    announce(said);
    prices.reload();
    close();
  };
  const filter = (values: Record<string, string>) => {
    setShown(SHOWN_AT_ONCE);
    setQuery(values);
  };
  return (
    <ListPage
      title={t.nav.prices}
      lead={t.prices.lead}
      create={mayChange ? { text: t.prices.new, onClick: () => setDialog({ what: 'create' }) } : null}
      listTitle={t.prices.tabs[tab]}
      note={
        <span aria-live="polite">
          {t.prices.shown(format.count(Math.min(shown, rows.length)), format.count(rows.length))}
        </span>
      }
      filters={<PriceFilters tab={tab} tier={tier} onFilter={filter} />}
      dialogs={
        <>
          {dialog?.what === 'create' && <PriceDialog models={modelsOf(all)} onClose={close} onDone={done} />}
          {dialog?.what === 'delete' && (
            <FormDialog
              title={t.prices.deleteTitle(dialog.price.model)}
              text={t.prices.deleteText}
              submit={t.common.remove}
              danger
              onClose={close}
              send={async () => {
                await remove<Price>(`/prices/${encodeURIComponent(dialog.price.id)}`);
                done(t.prices.deleted(dialog.price.model));
              }}
            />
          )}
        </>
      }
    >
      <Load of={prices} lines={10}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t.prices.empty} text={t.prices.emptyText} />
          ) : tab === 'card' ? (
            <PriceTable
              prices={rows.slice(0, shown)}
              onDelete={mayChange ? (price) => setDialog({ what: 'delete', price }) : null}
            />
          ) : (
            <ChangeTable prices={rows.slice(0, shown)} all={all} />
          )
        }
      </Load>
      {rows.length > shown && (
        <p class="pager">
          <button type="button" class="button" onClick={() => setShown(shown + SHOWN_AT_ONCE)}>
            {t.common.more}
          </button>
        </p>
      )}
    </ListPage>
  );
}

interface PriceFiltersProps {
  tab: 'card' | 'changes';
  tier: string;
  onFilter: (values: Record<string, string>) => void;
}

function PriceFilters({ tab, tier, onFilter }: PriceFiltersProps) {
  const t = useMessages();
  const { query } = useLocation();
  const tabs = (['card', 'changes'] as const).map((value) => ({ value, text: t.prices.tabs[value] }));
  const tiers = [
    ...TIERS.map((value) => ({ value: value as string, text: value as string })),
    { value: 'all', text: t.prices.allTiers },
  ];
  return (
    <>
      <div class="inline">
        <TextField
          label={t.prices.filter}
          param="model"
          value={query.get('model') ?? ''}
          onValue={(model) => onFilter({ model })}
        />
      </div>
      <div class="inline">
        <SelectField
          label={t.prices.tier}
          param="tier"
          value={tier}
          onValue={(value) => onFilter({ tier: value })}
          options={tiers}
        />
      </div>
      <Choice label={t.prices.tabs[tab]} value={tab} onChange={(show) => onFilter({ show })} options={tabs} />
    </>
  );
}

function modelsOf(prices: readonly Price[]): string[] {
  return [...new Set(prices.map(({ model }) => model))].sort();
}
