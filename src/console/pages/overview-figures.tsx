/** The key figures: spent, forecast, left, denied, unknown. */
import type { ComponentChildren } from 'preact';
import type { Overview } from '../api/types.ts';
import { isZero } from '../money.ts';
import { About, Money, moneyText } from '../parts/money.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useSession } from '../shell/session.ts';

export function Figures({ overview }: { overview: Overview }) {
  const t = useMessages();
  const format = useFormat();
  const { role } = useSession();
  const { remaining_usd: remaining, exhausts_at: exhausts } = overview;
  return (
    <dl class="figures" aria-label={t.overview.figures}>
      <Figure label={t.overview.monthToDate} notes={[t.overview.today(moneyText(overview.today_usd))]}>
        <Money usd={overview.month_to_date_usd} />
      </Figure>
      <Figure
        label={t.overview.forecast}
        notes={[t.overview.previousMonth(moneyText(overview.previous_month_usd))]}
        title={t.overview.forecastNote}
      >
        <About usd={overview.forecast_month_usd} />
      </Figure>
      <Figure
        label={role !== 'team' ? t.overview.remaining : t.grants.left}
        warns={exhausts !== null}
        notes={[
          exhausts !== null
            ? role !== 'team'
              ? t.overview.firstRunsOut(format.relative(exhausts))
              : t.overview.runsOut(format.relative(exhausts))
            : remaining === null
              ? role !== 'team'
                ? t.overview.noCredit
                : t.overview.noBudget
              : t.overview.lasts,
        ]}
      >
        {remaining === null ? '—' : <Money usd={remaining} />}
      </Figure>
      <Figure
        label={t.overview.denied}
        notes={[
          t.overview.ofCalls(format.count(overview.calls_today)),
          ...(overview.errors_today > 0 ? [t.overview.errorsToday(format.count(overview.errors_today))] : []),
        ]}
      >
        {format.count(overview.denied_today)}
      </Figure>
      <Figure
        label={t.overview.unknown}
        warns={!isZero(overview.unknown_usd)}
        notes={[isZero(overview.unknown_usd) ? t.overview.nothingUnknown : t.overview.unknownNote]}
      >
        <Money usd={overview.unknown_usd} />
      </Figure>
    </dl>
  );
}

interface FigureProps {
  label: string;
  notes: string[];
  title?: string;
  warns?: boolean;
  children: ComponentChildren;
}

export function Figure({ label, notes, title, warns, children }: FigureProps) {
  return (
    <div class={warns ? 'figure warns' : 'figure'}>
      <dt>{label}</dt>
      <dd class="figure-value">{children}</dd>
      {notes.map((note) => (
        <dd key={note} class="figure-note" title={title}>
          {note}
        </dd>
      ))}
    </div>
  );
}
