/** Notices: who gets them of a team or department, and what was sent to them. */
import { useState } from 'preact/hooks';
import { patch, post, remove } from '../api/client.ts';
import type { Notice, Recipient } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField, Tick } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useLanguage, useMessages } from '../shell/language.ts';
import { useMay } from '../shell/session.ts';
import { nameIn, type Option, useDepartmentOptions, useTeamOptions } from './options.tsx';

const KINDS = ['warning', 'projection', 'spike', 'weekly', 'monthly'] as const;
const CHANNELS = ['email', 'slack', 'teams', 'webhook'] as const;

type Dialog = { what: 'create' } | { what: 'change' | 'delete'; recipient: Recipient };

export function NoticesPage() {
  const t = useMessages();
  const may = useMay();
  const canChange = may('recipients:write', 'any');
  const teams = useTeamOptions();
  const departments = useDepartmentOptions();
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const recipients = usePages<Recipient>('/recipients', {});
  const close = () => setDialog(null);
  const done = (text: string) => {
    announce(text);
    recipients.reload();
    close();
  };
  return (
    <Page title={t.nav.notices} lead={t.notices.lead}>
      <Panel
        title={t.notices.recipients}
        actions={
          canChange && (
            <button type="button" class="button" onClick={() => setDialog({ what: 'create' })}>
              {t.notices.new}
            </button>
          )
        }
      >
        <Paged pages={recipients} empty={<Empty title={t.notices.empty} text={t.notices.emptyText} />}>
          {(rows) => (
            <RecipientTable
              rows={rows}
              teams={teams}
              departments={departments}
              onOpen={canChange ? setDialog : null}
            />
          )}
        </Paged>
      </Panel>
      <SentPanel teams={teams} />
      {dialog?.what === 'delete' && (
        <FormDialog
          title={t.notices.deleteTitle}
          text={t.notices.deleteText(dialog.recipient.address)}
          submit={t.common.remove}
          danger
          onClose={close}
          send={async () => {
            await remove<Recipient>(`/recipients/${dialog.recipient.id}`);
            done(t.notices.deleted);
          }}
        />
      )}
      {dialog && dialog.what !== 'delete' && (
        <RecipientDialog
          recipient={dialog.what === 'change' ? dialog.recipient : null}
          teams={teams}
          departments={may('recipients:write') ? departments : []}
          onClose={close}
          onDone={done}
        />
      )}
    </Page>
  );
}

interface RecipientTableProps {
  rows: Recipient[];
  teams: Option[];
  departments: Option[];
  onOpen: ((dialog: Dialog) => void) | null;
}

function RecipientTable({ rows, teams, departments, onOpen }: RecipientTableProps) {
  const t = useMessages();
  return (
    <Table
      caption={t.notices.recipients}
      rows={rows}
      keyOf={({ id }) => id}
      columns={[
        {
          key: 'address',
          label: t.notices.address,
          heads: true,
          cell: ({ address, kind }) => (
            <>
              {address}
              <span class="under">{t.notices.channels[kind]}</span>
            </>
          ),
        },
        {
          key: 'about',
          label: t.notices.about,
          cell: ({ subject }) => {
            if (subject.type === 'org') return t.notices.everything;
            return nameIn(subject.type === 'team' ? teams : departments, subject.id);
          },
        },
        {
          key: 'wants',
          label: t.notices.wants,
          cell: ({ wants }) => wants.map((kind) => t.notices.kinds[kind]).join(', '),
        },
        onOpen && {
          key: 'actions',
          label: t.common.actions,
          quiet: true,
          cell: (recipient) => (
            <>
              <button
                type="button"
                class="button small"
                onClick={() => onOpen({ what: 'change', recipient })}
              >
                {t.common.change}
                <span class="hidden"> {recipient.address}</span>
              </button>{' '}
              <button
                type="button"
                class="button small"
                onClick={() => onOpen({ what: 'delete', recipient })}
              >
                {t.common.remove}
                <span class="hidden"> {recipient.address}</span>
              </button>
            </>
          ),
        },
      ]}
    />
  );
}

function SentPanel({ teams }: { teams: Option[] }) {
  const t = useMessages();
  const format = useFormat();
  const pages = usePages<Notice>('/notices', {}, 20);
  return (
    <Panel title={t.notices.sent}>
      <Paged pages={pages} empty={<Empty title={t.notices.nothing} />}>
        {(rows) => (
          <Table
            caption={t.notices.sent}
            rows={rows}
            keyOf={({ id }) => id}
            columns={[
              {
                key: 'what',
                label: t.notices.what,
                heads: true,
                cell: ({ text, kind, team_id: teamId }) => (
                  <>
                    {text}
                    <span class="under">
                      {t.notices.kinds[kind]}
                      {teamId === null ? '' : `, ${nameIn(teams, teamId)}`}
                    </span>
                  </>
                ),
              },
              {
                key: 'to',
                label: t.notices.to,
                cell: ({ address, channel }) => (
                  <>
                    {address ?? '—'}
                    <span class="under">{channel && t.notices.channels[channel]}</span>
                  </>
                ),
              },
              {
                key: 'when',
                label: t.notices.when,
                cell: ({ raised_at: at }) => <time dateTime={at}>{format.timeOf(at)}</time>,
              },
              {
                key: 'state',
                label: t.notices.state,
                cell: ({ delivery, attempts, problem }) => (
                  <>
                    {t.notices.states[delivery]}
                    <span class="under">{problem ?? t.notices.attempts(attempts)}</span>
                  </>
                ),
              },
            ]}
          />
        )}
      </Paged>
    </Panel>
  );
}

interface RecipientDialogProps {
  /** Null: a new one. */
  recipient: Recipient | null;
  teams: Option[];
  departments: Option[];
  onClose: () => void;
  onDone: (text: string) => void;
}

/** The value of the choice of a department; that of a team is its id. */
const DEPARTMENT = 'department ';

/** Returns the subject as the API reads it. */
function subjectOf(choice: string) {
  if (choice === '') return { type: 'org' };
  if (!choice.startsWith(DEPARTMENT)) return { type: 'team', id: choice };
  return { type: 'department', id: choice.slice(DEPARTMENT.length) };
}

function RecipientDialog({ recipient, teams, departments, onClose, onDone }: RecipientDialogProps) {
  const t = useMessages();
  const [about, setAbout] = useState('');
  const ofDepartment = ({ value, text }: Option) => ({
    value: DEPARTMENT + value,
    text: t.limits.ofDepartment(text),
  });
  const [channel, setChannel] = useState<(typeof CHANNELS)[number]>('email');
  const [address, setAddress] = useState('');
  const [secret, setSecret] = useState('');
  const own = useLanguage();
  const [language, setLanguage] = useState<Recipient['language']>(recipient?.language ?? own);
  const [wants, setWants] = useState<readonly Recipient['wants'][number][]>(recipient?.wants ?? KINDS);
  return (
    <FormDialog
      title={recipient ? recipient.address : t.notices.new}
      submit={recipient ? t.common.save : t.notices.new}
      onClose={onClose}
      send={async () => {
        if (recipient) await patch<Recipient>(`/recipients/${recipient.id}`, { wants, language });
        else
          await post<Recipient>('/recipients', {
            subject: subjectOf(about),
            ...{ kind: channel, address: address.trim(), wants, language },
            ...(channel === 'webhook' && secret !== '' ? { secret } : {}),
          });
        onDone(recipient ? t.notices.changed : t.notices.made);
      }}
    >
      {recipient === null && (
        <>
          <SelectField
            label={t.notices.about}
            param="subject"
            value={about}
            onValue={setAbout}
            options={[{ value: '', text: t.notices.everything }, ...departments.map(ofDepartment), ...teams]}
          />
          <SelectField
            label={t.notices.channel}
            param="kind"
            value={channel}
            onValue={(value) => setChannel(CHANNELS.find((each) => each === value) ?? 'email')}
            options={CHANNELS.map((value) => ({ value, text: t.notices.channels[value] }))}
          />
          <TextField
            label={t.notices.address}
            param="address"
            hint={t.notices.addressHint}
            value={address}
            onValue={setAddress}
          />
          {channel === 'webhook' && (
            <TextField
              label={t.notices.secret}
              param="secret"
              hint={t.notices.secretHint}
              value={secret}
              onValue={setSecret}
              optional
            />
          )}
        </>
      )}
      <SelectField
        label={t.notices.language}
        param="language"
        value={language}
        onValue={(value) => setLanguage(value === 'zh' ? 'zh' : 'en')}
        options={[
          { value: 'en', text: 'English' },
          { value: 'zh', text: '中文' },
        ]}
      />
      <fieldset>
        <legend>{t.notices.wants}</legend>
        {KINDS.map((kind) => (
          <Tick
            key={kind}
            label={t.notices.kinds[kind]}
            checked={wants.includes(kind)}
            onChecked={(on) => setWants(KINDS.filter((each) => (each === kind ? on : wants.includes(each))))}
          />
        ))}
      </fieldset>
    </FormDialog>
  );
}
