/** A call's amounts as figures, and its other fields as a list. */
import type { ComponentChildren } from 'preact';
import type { Event, WholeEvent } from '../api/types.ts';
import { compare, subtract } from '../money.ts';
import { Money, moneyText } from '../parts/money.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { costOf, Outcome } from './call-table.tsx';
import { Figure } from './overview-figures.tsx';
import { nameOf } from './quantities.ts';

export function CallFigures({ call }: { call: WholeEvent }) {
  const t = useMessages();
  const format = useFormat();
  const cost = costOf(call);
  const isOver = compare(cost, call.hold_usd) > 0;
  return (
    <dl class="figures">
      <Figure label={t.call.held} notes={[]}>
        <Money usd={call.hold_usd} />
      </Figure>
      <Figure
        label={t.call.cost}
        notes={call.adjusted_usd === undefined ? [] : [`${t.call.corrected} (${moneyText(call.cost_usd)})`]}
      >
        <Money usd={cost} />
      </Figure>
      <Figure label={isOver ? t.call.overrun : t.call.returned} warns={isOver} notes={[]}>
        <Money usd={isOver ? subtract(cost, call.hold_usd) : subtract(call.hold_usd, cost)} />
      </Figure>
      <Figure
        label={t.call.inputTokens}
        notes={[`${t.call.cachedTokens} ${format.count(call.cached_input_tokens)}`]}
      >
        {format.count(call.input_tokens)}
      </Figure>
      <Figure
        label={t.call.outputTokens}
        notes={[`${t.call.reasoningTokens} ${format.count(call.reasoning_tokens)}`]}
      >
        {format.count(call.output_tokens)}
      </Figure>
    </dl>
  );
}

export function Facts({ call }: { call: Event }) {
  const t = useMessages();
  const format = useFormat();
  const code = (text: string | null) => (text === null ? '—' : <span class="code">{text}</span>);
  const facts: [string, ComponentChildren][] = [
    [t.call.id, code(call.id)],
    [t.call.admitted, format.dateTime(call.created_at)],
    [t.common.team, <a href={`${BASE}/teams/${call.team_id}`}>{call.team_name}</a>],
    [t.common.key, call.key_name],
    [t.calls.outcome, <Outcome call={call} />],
    [t.call.provenance, t.calls.provenances[call.provenance]],
    [t.call.reason, code(call.reason)],
    [t.call.endUser, call.end_user ?? '—'],
    [t.call.tags, Object.keys(call.tags).length === 0 ? '—' : tagsText(call.tags)],
    [t.call.responseModel, code(call.response_model)],
    [t.call.serviceTier, call.service_tier ?? '—'],
    [t.call.upstream, call.upstream ?? '—'],
    [t.call.upstreamStatus, call.upstream_status ?? '—'],
    [t.call.upstreamRequest, code(call.upstream_request_id)],
    [t.call.priceRow, code(call.price_id)],
    [t.call.writeTokens, format.count(call.cache_write_tokens)],
    ...Object.entries(call.quantities).map(([meter, amount]): [string, ComponentChildren] => [
      nameOf(meter),
      format.count(amount ?? 0),
    ]),
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function tagsText(tags: Readonly<Record<string, string>>): string {
  return Object.entries(tags)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}
