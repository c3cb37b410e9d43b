/** Prices: the rate card, what admins set beside it, and what changed when. */
import { useMemo, useState } from 'preact/hooks';
import { remove } from '../api/client.ts';
import type { Page as PageOf, Price } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { Choice } from '../parts/choice.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import { setQuery, usePlace } from '../shell/router.ts';
import { PriceDialog } from './price-dialog.tsx';
import { ChangeTable, PriceTable } from './price-tables.tsx';
import { byModel, changesOf, inForce } from './rate-card.ts';

const PRICES_MAX = 1_000;
const SHOWN_AT_ONCE = 60;
const TIERS = ['default', 'flex', 'priority', 'batch'] as const;

export function PricesPage() {
  const t = useWords();
  const format = useFormat();
  const { query } = usePlace();
  const text = (query.get('model') ?? '').toLowerCase();
  const tier = query.get('tier') ?? 'default';
  const tab = query.get('show') === 'changes' ? 'changes' : 'card';
  const [shown, setShown] = useState(SHOWN_AT_ONCE);
  const [asked, setAsked] = useState<{ what: 'make' } | { what: 'delete'; price: Price } | null>(null);
  const prices = useApi<PageOf<Price>>('/prices', { limit: PRICES_MAX, include_deleted: true });
  const all = useMemo(() => prices.data?.data ?? [], [prices.data]);
  const matching = all.filter(
    (price) => price.model.toLowerCase().includes(text) && (tier === 'all' || price.tier === tier),
  );
  const rows = tab === 'card' ? inForce(matching, Date.now()).sort(byModel) : changesOf(matching);
  const close = () => setAsked(null);
  const done = (said: string) => {
    announce(said);
    prices.reload();
    close();
  };
  const tabs = (['card', 'changes'] as const).map((value) => ({ value, text: t.prices.tabs[value] }));
  const tiers = [
    ...TIERS.map((value) => ({ value: value as string, text: value as string })),
    { value: 'all', text: t.prices.allTiers },
  ];
  const filter = (values: Record<string, string>) => {
    setShown(SHOWN_AT_ONCE);
    setQuery(values);
  };
  return (
    <Page
      title={t.nav.prices}
      lead={t.prices.lead}
      actions={
        <button type="button" class="button primary" onClick={() => setAsked({ what: 'make' })}>
          {t.prices.new}
        </button>
      }
    >
      <Panel
        plain
        title={t.prices.tabs[tab]}
        note={
          <span aria-live="polite">
            {t.prices.shown(format.count(Math.min(shown, rows.length)), format.count(rows.length))}
          </span>
        }
        actions={
          <>
            <div class="inline">
              <TextField
                label={t.prices.filter}
                param="model"
                value={query.get('model') ?? ''}
                onValue={(model) => filter({ model })}
              />
            </div>
            <div class="inline">
              <SelectField
                label={t.prices.tier}
                param="tier"
                value={tier}
                onValue={(value) => filter({ tier: value })}
                options={tiers}
              />
            </div>
            <Choice
              label={t.prices.tabs[tab]}
              value={tab}
              onChange={(show) => filter({ show })}
              options={tabs}
            />
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
                onDelete={(price) => setAsked({ what: 'delete', price })}
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
      </Panel>
      {asked?.what === 'make' && <PriceDialog models={modelsOf(all)} onClose={close} onDone={done} />}
      {asked?.what === 'delete' && (
        <FormDialog
          title={t.prices.deleteTitle(asked.price.model)}
          text={t.prices.deleteText}
          submit={t.common.remove}
          danger
          onClose={close}
          send={async () => {
            await remove<Price>(`/prices/${encodeURIComponent(asked.price.id)}`);
            done(t.prices.deleted(asked.price.model));
          }}
        />
      )}
    </Page>
  );
}

function modelsOf(prices: readonly Price[]): string[] {
  return [...new Set(prices.map(({ model }) => model))].sort();
}
