/** Calls of unknown outcome, and their release by evidence. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Event } from '../api/types.ts';
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
  const pages = usePages<Event>('/unknown', { team_id: teamId }, 20);
  return (
    <Panel title={t.team.unknownTitle} note={t.team.unknownText}>
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
