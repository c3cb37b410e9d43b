/** Role mappings: the roles of groups of the identity provider. */
import { useState } from 'preact/hooks';
import { patch, post, remove } from '../api/client.ts';
import type { GivenRole, RoleMapping } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/field.tsx';
import { Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useMessages } from '../shell/language.ts';
import { RoleFields, useRoleText } from './role-fields.tsx';

type MappingDialogState = { what: 'create' } | { what: 'change' | 'delete'; mapping: RoleMapping };

const pathOf = ({ name }: RoleMapping) => `/role-mappings/${encodeURIComponent(name)}`;

export function RoleMappingsPanel() {
  const t = useMessages();
  const [dialog, setDialog] = useState<MappingDialogState | null>(null);
  const pages = usePages<RoleMapping>('/role-mappings', {});
  const roleText = useRoleText();
  const close = () => setDialog(null);
  const done = (name: string) => {
    announce(t.people.groupChanged(name));
    pages.reload();
    close();
  };
  const button = (text: string, what: 'change' | 'delete', mapping: RoleMapping) => (
    <button type="button" class="button small" onClick={() => setDialog({ what, mapping })}>
      {text}
      <span class="hidden"> {mapping.name}</span>
    </button>
  );
  return (
    <Panel
      title={t.people.groups}
      note={t.people.groupsText}
      actions={
        <button type="button" class="button" onClick={() => setDialog({ what: 'create' })}>
          {t.people.newGroup}
        </button>
      }
    >
      <Paged pages={pages} empty={<Empty title={t.people.noGroups} />}>
        {(mappings) => (
          <Table
            caption={t.people.groups}
            rows={mappings}
            keyOf={(mapping) => mapping.name}
            columns={[
              { key: 'name', label: t.people.group, heads: true, cell: ({ name }) => name },
              { key: 'roles', label: t.people.roles, cell: ({ roles }) => roleText(roles) },
              {
                key: 'actions',
                label: t.common.actions,
                quiet: true,
                cell: (mapping) => (
                  <>
                    {button(t.common.change, 'change', mapping)} {button(t.common.remove, 'delete', mapping)}
                  </>
                ),
              },
            ]}
          />
        )}
      </Paged>
      {dialog?.what === 'delete' && (
        <FormDialog
          title={t.people.deleteGroup(dialog.mapping.name)}
          submit={t.common.remove}
          danger
          onClose={close}
          send={async () => {
            await remove(pathOf(dialog.mapping));
            done(dialog.mapping.name);
          }}
        />
      )}
      {dialog && dialog.what !== 'delete' && (
        <MappingForm
          mapping={dialog.what === 'change' ? dialog.mapping : null}
          onClose={close}
          onDone={done}
        />
      )}
    </Panel>
  );
}

interface MappingFormProps {
  /** Null: a new one. */
  mapping: RoleMapping | null;
  onClose: () => void;
  onDone: (name: string) => void;
}

function MappingForm({ mapping, onClose, onDone }: MappingFormProps) {
  const t = useMessages();
  const [name, setName] = useState(mapping?.name ?? '');
  const [roles, setRoles] = useState<GivenRole[]>(
    mapping?.roles ?? [{ role: 'viewer', scope: { type: 'org' } }],
  );
  return (
    <FormDialog
      title={mapping === null ? t.people.newGroup : mapping.name}
      submit={mapping === null ? t.people.newGroup : t.common.save}
      onClose={onClose}
      check={() => ({ name: name.trim() === '' && t.common.required })}
      send={async () => {
        if (mapping === null) await post('/role-mappings', { name: name.trim(), roles });
        else await patch(pathOf(mapping), { roles });
        onDone(name.trim());
      }}
    >
      {mapping === null && (
        <TextField
          label={t.people.group}
          param="name"
          hint={t.people.groupHint}
          value={name}
          onValue={setName}
          autofocus
        />
      )}
      <RoleFields roles={roles} onRoles={setRoles} />
    </FormDialog>
  );
}
