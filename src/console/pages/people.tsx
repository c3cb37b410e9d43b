/** People: who may use the admin API by name, the service tokens, and the roles of groups. */
import { useState } from 'preact/hooks';
import { patch, post, remove } from '../api/client.ts';
import type { GivenRole, Person } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField, Tick } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { RoleFields, useRoleText } from './role-fields.tsx';
import { RoleMappingsPanel } from './role-mappings.tsx';
import { TokensPanel } from './tokens.tsx';

type PersonDialogState = { what: 'create' } | { what: 'change' | 'delete'; person: Person };

export function PeoplePage() {
  const t = useMessages();
  const [dialog, setDialog] = useState<PersonDialogState | null>(null);
  const pages = usePages<Person>('/people', {});
  const done = (text: string) => {
    announce(text);
    pages.reload();
    setDialog(null);
  };
  return (
    <Page
      title={t.nav.people}
      lead={t.people.lead}
      actions={
        <button type="button" class="button primary" onClick={() => setDialog({ what: 'create' })}>
          {t.people.new}
        </button>
      }
    >
      <Panel title={t.people.list}>
        <Paged pages={pages} empty={<Empty title={t.people.empty} text={t.people.emptyText} />}>
          {(people) => <PersonTable people={people} onOpen={setDialog} />}
        </Paged>
      </Panel>
      <TokensPanel />
      <RoleMappingsPanel />
      {dialog?.what === 'delete' && (
        <FormDialog
          title={t.people.deleteTitle(dialog.person.user_name)}
          text={t.people.deleteText}
          submit={t.common.remove}
          danger
          onClose={() => setDialog(null)}
          send={async () => {
            await remove(`/people/${dialog.person.id}`);
            done(t.people.deleted(dialog.person.user_name));
          }}
        />
      )}
      {dialog && dialog.what !== 'delete' && (
        <PersonForm
          person={dialog.what === 'change' ? dialog.person : null}
          onClose={() => setDialog(null)}
          onDone={done}
        />
      )}
    </Page>
  );
}

interface PersonTableProps {
  people: Person[];
  onOpen: (dialog: PersonDialogState) => void;
}

function PersonTable({ people, onOpen }: PersonTableProps) {
  const t = useMessages();
  const format = useFormat();
  const roleText = useRoleText();
  return (
    <Table
      caption={t.people.list}
      rows={people}
      keyOf={(person) => person.id}
      isFaded={(person) => !person.active}
      columns={[
        {
          key: 'name',
          label: t.people.displayName,
          heads: true,
          cell: (person) => (
            <>
              {person.display_name}
              <span class="under">{person.user_name}</span>
            </>
          ),
        },
        { key: 'roles', label: t.people.roles, cell: (person) => roleText(person.roles) },
        {
          key: 'groups',
          label: t.people.group,
          cell: (person) => person.groups.join(', ') || t.common.none,
        },
        {
          key: 'state',
          label: t.common.state,
          cell: ({ active }) => (
            <span class={active ? 'badge fine' : 'badge'}>
              {active ? t.people.active : t.people.inactive}
            </span>
          ),
        },
        {
          key: 'seen',
          label: t.people.lastSignIn,
          number: true,
          cell: ({ last_sign_in_at: at }) => (at === null ? t.common.never : format.shortDateTime(at)),
        },
        {
          key: 'actions',
          label: t.common.actions,
          quiet: true,
          cell: (person) => (
            <>
              <button type="button" class="button small" onClick={() => onOpen({ what: 'change', person })}>
                {t.common.change}
                <span class="hidden"> {person.user_name}</span>
              </button>
              <button type="button" class="button small" onClick={() => onOpen({ what: 'delete', person })}>
                {t.common.remove}
                <span class="hidden"> {person.user_name}</span>
              </button>
            </>
          ),
        },
      ]}
    />
  );
}

interface PersonFormProps {
  /** Null: a new one. */
  person: Person | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

function PersonForm({ person, onClose, onDone }: PersonFormProps) {
  const t = useMessages();
  const [userName, setUserName] = useState(person?.user_name ?? '');
  const [displayName, setDisplayName] = useState(person?.display_name ?? '');
  const [email, setEmail] = useState(person?.email ?? '');
  const [active, setActive] = useState(person?.active ?? true);
  const [roles, setRoles] = useState<GivenRole[]>(person?.roles ?? []);
  return (
    <FormDialog
      title={person === null ? t.people.new : t.people.edit}
      submit={person === null ? t.people.new : t.common.save}
      onClose={onClose}
      check={() => ({ user_name: userName.trim() === '' && t.common.required })}
      send={async () => {
        const name = userName.trim();
        const body = {
          user_name: name,
          display_name: displayName.trim() || name,
          email: email.trim() || null,
          active,
          roles,
        };
        if (person === null) await post<Person>('/people', body);
        else await patch<Person>(`/people/${person.id}`, body);
        onDone(person === null ? t.people.made(name) : t.people.changed(name));
      }}
    >
      <TextField
        label={t.people.userName}
        param="user_name"
        hint={t.people.userNameHint}
        value={userName}
        onValue={setUserName}
        autofocus
      />
      <TextField
        label={t.people.displayName}
        param="display_name"
        optional
        value={displayName}
        onValue={setDisplayName}
      />
      <TextField label={t.people.email} param="email" optional value={email} onValue={setEmail} />
      <Tick label={t.people.active} hint={t.people.activeHint} checked={active} onChecked={setActive} />
      <RoleFields roles={roles} onRoles={setRoles} />
    </FormDialog>
  );
}
