/** A team's prepaid credit: its grants, what each has left, and the forms that change them. */
import { useState } from 'preact/hooks';
import { patch, post, remove } from '../api/client.ts';
import type { Balance, Grant } from '../api/types.ts';
import type { Loaded } from '../api/use.ts';
import { restDigits } from '../money.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { DateTimeField, TextField } from '../parts/field.tsx';
import { Money, moneyText } from '../parts/money.tsx';
import { Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { toInstant, toLocalInput } from './dates.ts';
import { amountError } from './errors.ts';
import { UsedBar } from './limit-text.tsx';

type GrantState = Balance['grants'][number];

interface GrantsProps {
  teamId: string;
  balance: Loaded<Balance>;
  canChange: boolean;
}

export function GrantsPanel({ teamId, balance, canChange }: GrantsProps) {
  const t = useMessages();
  const [dialog, setDialog] = useState<
    { what: 'create' } | { what: 'change' | 'delete'; grant: GrantState } | null
  >(null);
  const close = () => setDialog(null);
  const done = (text: string) => {
    announce(text);
    balance.reload();
    close();
  };
  return (
    <Panel
      title={t.grants.title}
      actions={
        canChange && (
          <button type="button" class="button" onClick={() => setDialog({ what: 'create' })}>
            {t.grants.new}
          </button>
        )
      }
    >
      <Load of={balance}>
        {({ grants }) =>
          grants.length === 0 ? (
            <Empty title={t.grants.empty} />
          ) : (
            <GrantTable
              grants={grants}
              onOpen={canChange ? (what, grant) => setDialog({ what, grant }) : null}
            />
          )
        }
      </Load>
      {dialog?.what === 'create' && (
        <GrantDialog teamId={teamId} grant={null} onClose={close} onDone={done} />
      )}
      {dialog?.what === 'change' && (
        <GrantDialog teamId={teamId} grant={dialog.grant} onClose={close} onDone={done} />
      )}
      {dialog?.what === 'delete' && (
        <FormDialog
          title={t.grants.deleteTitle}
          text={t.grants.deleteText}
          submit={t.common.remove}
          danger
          onClose={close}
          send={async () => {
            await remove<Grant>(`/grants/${dialog.grant.id}`);
            done(t.grants.deleted);
          }}
        />
      )}
    </Panel>
  );
}

interface GrantTableProps {
  grants: GrantState[];
  onOpen: ((what: 'change' | 'delete', grant: GrantState) => void) | null;
}

function GrantTable({ grants, onOpen }: GrantTableProps) {
  const t = useMessages();
  const format = useFormat();
  const leftRest = restDigits(grants.map((grant) => grant.remaining_usd));
  const isExpired = ({ expires_at: at }: GrantState) => at !== null && Date.parse(at) <= Date.now();
  const isFuture = ({ starts_at: at }: GrantState) => Date.parse(at) > Date.now();
  return (
    <Table
      caption={t.grants.title}
      rows={grants}
      keyOf={(grant) => grant.id}
      isFaded={isExpired}
      columns={[
        {
          key: 'amount',
          label: t.common.amount,
          heads: true,
          cell: (grant) => (
            <>
              <Money usd={grant.amount_usd} />
              {grant.name && <span class="under">{grant.name}</span>}
            </>
          ),
        },
        {
          key: 'used',
          label: t.limits.used,
          cell: (grant) => (
            <UsedBar amount={grant.amount_usd} settled={grant.settled_usd} held={grant.held_usd} />
          ),
        },
        {
          key: 'left',
          label: t.grants.left,
          number: true,
          cell: (grant) => <Money usd={grant.remaining_usd} reserve={leftRest} />,
        },
        {
          key: 'expires',
          label: t.common.expires,
          number: true,
          cell: (grant) => (
            <>
              {isExpired(grant) && <span class="badge">{t.grants.expired}</span>}
              {isFuture(grant) && <span class="badge">{t.grants.future}</span>}{' '}
              {grant.expires_at === null ? t.common.never : format.day(grant.expires_at)}
            </>
          ),
        },
        onOpen
          ? {
              key: 'actions',
              label: t.common.actions,
              quiet: true,
              cell: (grant) => (
                <>
                  <button type="button" class="button small" onClick={() => onOpen('change', grant)}>
                    {t.common.change}
                    <span class="hidden"> {moneyText(grant.amount_usd)}</span>
                  </button>
                  <button type="button" class="button small" onClick={() => onOpen('delete', grant)}>
                    {t.common.remove}
                    <span class="hidden"> {moneyText(grant.amount_usd)}</span>
                  </button>
                </>
              ),
            }
          : null,
      ]}
    />
  );
}

interface GrantDialogProps {
  teamId: string;
  /** Null: a new one. */
  grant: GrantState | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

function GrantDialog({ teamId, grant, onClose, onDone }: GrantDialogProps) {
  const t = useMessages();
  const [name, setName] = useState(grant?.name ?? '');
  const [amount, setAmount] = useState(grant?.amount_usd ?? '');
  // The field has no seconds, so an unchanged date is not sent.
  const before = toLocalInput(grant?.expires_at ?? null);
  const [expires, setExpires] = useState(before);
  const [maxUnknown, setMaxUnknown] = useState(grant?.max_unknown_usd ?? '');
  return (
    <FormDialog
      title={grant ? t.grants.change : t.grants.new}
      submit={grant ? t.common.save : t.grants.new}
      onClose={onClose}
      check={() => ({
        amount_usd: amountError(t, amount),
        expires_at: toInstant(expires) === undefined && t.common.badDate,
        max_unknown_usd: maxUnknown !== '' && amountError(t, maxUnknown),
      })}
      send={async () => {
        const expiry = expires === before ? {} : { expires_at: toInstant(expires) ?? null };
        const body = {
          name: name.trim() === '' ? null : name.trim(),
          amount_usd: amount,
          max_unknown_usd: maxUnknown === '' ? null : maxUnknown,
          ...expiry,
        };
        if (grant) await patch<Grant>(`/grants/${grant.id}`, body);
        else await post<Grant>('/grants', { ...body, team_id: teamId });
        onDone(grant ? t.grants.changed : t.grants.made);
      }}
    >
      <TextField
        label={t.common.amount}
        param="amount_usd"
        hint={t.common.wholeAmount}
        value={amount}
        onValue={setAmount}
        numeric
        autofocus
      />
      <TextField label={t.common.name} param="name" optional value={name} onValue={setName} />
      <DateTimeField
        label={t.common.expires}
        param="expires_at"
        hint={t.grants.expiresHint}
        optional
        value={expires}
        onValue={setExpires}
      />
      <TextField
        label={t.limits.maxUnknown}
        param="max_unknown_usd"
        hint={t.grants.maxUnknownHint}
        value={maxUnknown}
        onValue={setMaxUnknown}
        numeric
        optional
      />
    </FormDialog>
  );
}
