/** Reconciliation: what the upstream billed of each day, against the ledger, and why the two differ. */
import { useState } from 'preact/hooks';
import { post, urlOf } from '../api/client.ts';
import type { DayDifference, ReconciledDay, Reconciliation } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import type { Messages } from '../messages/messages.ts';
import { isZero, restDigits, subtract, sum } from '../money.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { Money, moneyText } from '../parts/money.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { type Format, useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE, useLocation } from '../shell/router.ts';
import { useMay } from '../shell/session.ts';
import { type Option, useTeamOptions } from './options.tsx';

/** As many days as a page shows. */
const DAYS = 100;
/** What evens out on the next day is not posted. */
const EVENS_OUT: readonly string[] = ['late_batch', 'day_boundary'];

export function ReconciliationPage() {
  const t = useMessages();
  const { query } = useLocation();
  const list = useApi<Reconciliation>('/reconciliation', { limit: DAYS });
  const [day, upstream] = [query.get('day'), query.get('upstream')];
  return (
    <Page title={t.nav.reconciliation} lead={t.reconciliation.lead}>
      <Load of={list}>
        {({ data, setup }) => {
          const shown = data.find((each) => each.day === day && (each.upstream ?? '') === (upstream ?? ''));
          return (
            <>
              <DaysPanel days={data} setup={setup} />
              {shown !== undefined && <DayPanel day={shown} onPosted={list.reload} />}
            </>
          );
        }}
      </Load>
    </Page>
  );
}

function DaysPanel({ days, setup }: { days: ReconciledDay[]; setup: Reconciliation['setup'] }) {
  const t = useMessages();
  const { is_on: isOn, upstreams_without: without } = setup;
  const note = isOn && without.length > 0 ? t.reconciliation.without(without.join(', ')) : undefined;
  return (
    <Panel
      plain
      title={t.reconciliation.days}
      note={note}
      actions={
        days.length > 0 && (
          <a class="button small" href={urlOf('/reconciliation', { format: 'csv', limit: DAYS })}>
            {t.calls.csv}
          </a>
        )
      }
    >
      {days.length === 0 ? (
        <Empty
          title={isOn ? t.reconciliation.waiting : t.reconciliation.off}
          text={isOn ? t.reconciliation.waitingText : t.reconciliation.offText}
        />
      ) : (
        <Table
          caption={t.reconciliation.days}
          rows={days}
          keyOf={({ day, upstream }) => `${day} ${upstream}`}
          columns={dayColumns(t, days)}
        />
      )}
    </Panel>
  );
}

function dayColumns(t: Messages, days: readonly ReconciledDay[]): (Column<ReconciledDay> | null)[] {
  const money = (key: string, label: string, read: (day: ReconciledDay) => string): Column<ReconciledDay> => {
    const reserve = restDigits(days.map(read));
    return { key, label, number: true, cell: (day) => <Money usd={read(day)} reserve={reserve} /> };
  };
  const chargedOf = (day: ReconciledDay) => sum([day.charged_usd, day.corrected_usd, day.posted_usd]);
  return [
    {
      key: 'day',
      label: t.reconciliation.day,
      heads: true,
      cell: ({ day, upstream }) => (
        <a
          href={`${BASE}/reconciliation?${new URLSearchParams({ day, ...(upstream === null ? {} : { upstream }) })}`}
        >
          <time dateTime={day}>{day}</time>
        </a>
      ),
    },
    days.some(({ upstream }) => upstream !== null)
      ? { key: 'upstream', label: t.call.upstream, cell: ({ upstream }) => upstream ?? '—' }
      : null,
    money('billed', t.reconciliation.billed, ({ billed_usd: usd }) => usd),
    money('charged', t.reconciliation.charged, chargedOf),
    money('difference', t.reconciliation.difference, (day) => subtract(day.billed_usd, chargedOf(day))),
    {
      key: 'unexplained',
      label: t.reconciliation.kinds.unexplained,
      number: true,
      cell: ({ unexplained_usd: usd }) =>
        isZero(usd) ? '—' : <span class="badge full">{moneyText(usd)}</span>,
    },
    {
      key: 'state',
      label: t.common.state,
      cell: ({ is_final: isFinal }) => (
        <span class={isFinal ? 'badge fine' : 'badge'}>
          {isFinal ? t.reconciliation.final : t.reconciliation.moving}
        </span>
      ),
    },
  ];
}

function DayPanel({ day, onPosted }: { day: ReconciledDay; onPosted: () => void }) {
  const t = useMessages();
  const format = useFormat();
  const mayPost = useMay()('calls:correct', null);
  const [posting, setPosting] = useState<DayDifference | null>(null);
  const title = t.reconciliation.ofDay(day.day);
  return (
    <Panel
      plain
      title={title}
      note={day.own_api_key_ids === null ? t.reconciliation.keysUnknown : t.reconciliation.note}
      actions={
        <a class="button small" href={urlOf('/reconciliation', { day: day.day, format: 'csv' })}>
          {t.calls.csv}
          <span class="hidden"> {day.day}</span>
        </a>
      }
    >
      {day.differences.length === 0 ? (
        <Empty title={t.reconciliation.none} />
      ) : (
        <Table
          caption={title}
          rows={day.differences}
          keyOf={({ id }) => id}
          columns={differenceColumns(t, format, day, mayPost ? setPosting : null)}
        />
      )}
      {posting && (
        <PostDialog
          day={day}
          difference={posting}
          onClose={() => setPosting(null)}
          onDone={() => {
            setPosting(null);
            onPosted();
          }}
        />
      )}
    </Panel>
  );
}

function differenceColumns(
  t: Messages,
  format: Format,
  { is_final: isFinal, differences }: ReconciledDay,
  onPost: ((difference: DayDifference) => void) | null,
): Column<DayDifference>[] {
  const reserve = restDigits(differences.map(({ amount_usd: usd }) => usd));
  return [
    {
      key: 'kind',
      label: t.reconciliation.cause,
      heads: true,
      cell: ({ kind, with: others }) => (
        <>
          {[kind, ...others].map((each) => t.reconciliation.kinds[each]).join(', ')}
          <span class="under">{t.reconciliation.texts[kind]}</span>
        </>
      ),
    },
    {
      key: 'about',
      label: t.reconciliation.about,
      cell: ({ line_item: line, model, service_tier: tier, api_key_id: key }) => (
        <>
          <span class="code">{line ?? ([model, tier].filter(Boolean).join(', ') || '—')}</span>
          {key !== null && <span class="under code">{key}</span>}
        </>
      ),
    },
    {
      key: 'quantity',
      label: t.reconciliation.quantity,
      number: true,
      cell: ({ quantity }) => (quantity === null ? '—' : format.count(quantity)),
    },
    {
      key: 'amount',
      label: t.reconciliation.difference,
      number: true,
      cell: ({ amount_usd: usd }) => <Money usd={usd} reserve={reserve} />,
    },
    {
      key: 'post',
      label: t.reconciliation.posted,
      cell: (difference) => {
        const { kind, posted, corrected_usd: corrected, amount_usd: amount } = difference;
        if (posted !== null) return <span class="badge fine">{t.reconciliation.isPosted}</span>;
        if (!isZero(corrected) && corrected === amount)
          return <span class="badge fine">{t.reconciliation.isCorrected}</span>;
        if (EVENS_OUT.includes(kind)) return t.reconciliation.evensOut;
        if (!isFinal) return t.reconciliation.whenFinal;
        if (onPost === null) return '—';
        return (
          <button type="button" class="button small" onClick={() => onPost(difference)}>
            {t.reconciliation.post}
            <span class="hidden"> {difference.id}</span>
          </button>
        );
      },
    },
  ];
}

interface PostProps {
  day: ReconciledDay;
  difference: DayDifference;
  onClose: () => void;
  onDone: () => void;
}

function PostDialog({ day: { day, upstream }, difference, onClose, onDone }: PostProps) {
  const t = useMessages();
  const teams: Option[] = useTeamOptions();
  const [reason, setReason] = useState('');
  const [team, setTeam] = useState('');
  return (
    <FormDialog
      title={t.reconciliation.postTitle}
      text={t.reconciliation.postText(
        t.reconciliation.kinds[difference.kind],
        moneyText(difference.amount_usd),
      )}
      submit={t.reconciliation.post}
      onClose={onClose}
      check={() => ({ reason: reason.trim() === '' && t.common.required })}
      send={async () => {
        const of = { day, difference: difference.id, ...(upstream === null ? {} : { upstream }) };
        const bearer = team === '' ? {} : { team_id: team };
        await post('/reconciliation/postings', { ...of, reason: reason.trim(), ...bearer });
        announce(t.reconciliation.isPosted);
        onDone();
      }}
    >
      <TextField
        label={t.team.releaseReason}
        param="reason"
        hint={t.team.releaseReasonHint}
        value={reason}
        onValue={setReason}
        autofocus
      />
      <SelectField
        label={t.reconciliation.bearer}
        param="team_id"
        hint={t.reconciliation.bearerHint}
        value={team}
        onValue={setTeam}
        options={[{ value: '', text: t.reconciliation.organization }, ...teams]}
      />
    </FormDialog>
  );
}
