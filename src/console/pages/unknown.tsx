/** Calls of unknown outcome, and their release by evidence. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { BulkRelease, Event } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/field.tsx';
import { moneyText } from '../parts/money.tsx';
import { Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { CallTable } from './call-table.tsx';
import { amountError } from './errors.ts';

interface UnknownProps {
  teamId: string;
  canChange: boolean;
  onReleased: () => void;
}

export function UnknownPanel({ teamId, canChange, onReleased }: UnknownProps) {
  const t = useMessages();
  const [released, setReleased] = useState<Event | null>(null);
  const [all, setAll] = useState(false);
  const pages = usePages<Event>('/unknown', { team_id: teamId }, 20);
  return (
    <Panel
      title={t.team.unknownTitle}
      note={t.team.unknownText}
      actions={
        canChange && (
          <button type="button" class="button small" onClick={() => setAll(true)}>
            {t.team.releaseMany}
          </button>
        )
      }
    >
      <Paged pages={pages} empty={<Empty title={t.overview.nothingUnknown} />}>
        {(calls) => (
          <CallTable
            calls={calls}
            withTeam={false}
            actions={
              canChange
                ? (call) => (
                    <button type="button" class="button small" onClick={() => setReleased(call)}>
                      {t.team.release}
                      <span class="hidden"> {call.id}</span>
                    </button>
                  )
                : undefined
            }
          />
        )}
      </Paged>
      {all && (
        <ReleaseManyDialog
          teamId={teamId}
          onClose={() => setAll(false)}
          onDone={() => {
            setAll(false);
            pages.reload();
            onReleased();
          }}
        />
      )}
      {released && (
        <ReleaseDialog
          call={released}
          onClose={() => setReleased(null)}
          onDone={() => {
            setReleased(null);
            pages.reload();
            onReleased();
          }}
        />
      )}
    </Panel>
  );
}

interface ReleaseManyProps {
  teamId: string;
  onClose: () => void;
  onDone: () => void;
}

/** Releases a team's calls of unknown outcome by what they have in common. */
function ReleaseManyDialog({ teamId, onClose, onDone }: ReleaseManyProps) {
  const t = useMessages();
  const [model, setModel] = useState('');
  const [from, setFrom] = useState('');
  const [to, setTo] = useState('');
  const [reason, setReason] = useState('');
  return (
    <FormDialog
      title={t.team.releaseMany}
      text={t.team.releaseManyText}
      submit={t.team.release}
      danger
      onClose={onClose}
      check={() => ({ reason: reason.trim() === '' && t.common.required })}
      send={async () => {
        const filter = {
          team_id: teamId,
          ...(model === '' ? {} : { model }),
          ...(from === '' ? {} : { from }),
          ...(to === '' ? {} : { to }),
        };
        const done = await post<BulkRelease>('/unknown/release', { filter, reason: reason.trim() });
        announce(t.team.releasedMany(done.released_calls, moneyText(done.released_usd)));
        onDone();
      }}
    >
      <TextField label={t.common.model} param="filter.model" optional value={model} onValue={setModel} />
      <div class="row">
        <TextField
          label={t.team.releaseFrom}
          param="filter.from"
          hint={t.team.releaseWhenHint}
          optional
          value={from}
          onValue={setFrom}
        />
        <TextField label={t.team.releaseTo} param="filter.to" optional value={to} onValue={setTo} />
      </div>
      <TextField
        label={t.team.releaseReason}
        param="reason"
        hint={t.team.releaseReasonHint}
        value={reason}
        onValue={setReason}
      />
    </FormDialog>
  );
}

interface ReleaseProps {
  call: Event;
  onClose: () => void;
  onDone: () => void;
}

export function ReleaseDialog({ call, onClose, onDone }: ReleaseProps) {
  const t = useMessages();
  const [cost, setCost] = useState('0');
  const [reason, setReason] = useState('');
  return (
    <FormDialog
      title={t.team.releaseTitle}
      text={t.team.releaseText(moneyText(call.adjusted_usd ?? call.cost_usd))}
      submit={t.team.release}
      onClose={onClose}
      check={() => ({
        cost_usd: amountError(t, cost, true),
        reason: reason.trim() === '' && t.common.required,
      })}
      send={async () => {
        await post(`/unknown/${call.id}/release`, { cost_usd: cost, reason: reason.trim() });
        announce(t.team.released);
        onDone();
      }}
    >
      <TextField
        label={t.team.releaseCost}
        param="cost_usd"
        hint={t.common.wholeAmount}
        value={cost}
        onValue={setCost}
        numeric
        autofocus
      />
      <TextField
        label={t.team.releaseReason}
        param="reason"
        hint={t.team.releaseReasonHint}
        value={reason}
        onValue={setReason}
      />
    </FormDialog>
  );
}
