/** Departments: the tree, with the teams in each, what was spent below it this month, and its budgets. */
import { useState } from 'preact/hooks';
import { patch, post, remove } from '../api/client.ts';
import type { Department, Limit, Page as PageOf, Team, Usage } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { ListPage } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { TIME_ZONE } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useMay } from '../shell/session.ts';
import { DepartmentTable } from './department-table.tsx';
import { type DepartmentNode, monthStart, treeOf } from './department-tree.ts';
import { type Option, useDepartmentOptions } from './options.tsx';

const LIST_MAX = 1_000;
const POLL_MS = 10_000;

export type DepartmentDialogState =
  | { what: 'create'; parentId: string | null }
  | { what: 'change'; department: Department }
  | { what: 'delete'; department: Department }
  | { what: 'move'; departmentId: string };

export function DepartmentsPage() {
  const t = useMessages();
  const mayChange = useMay()('teams:write', null);
  const [dialog, setDialog] = useState<DepartmentDialogState | null>(null);
  const departments = useApi<PageOf<Department>>('/departments', { limit: LIST_MAX });
  const teams = useApi<PageOf<Team>>('/teams', { limit: LIST_MAX });
  const limits = useApi<PageOf<Limit>>(
    '/limits',
    { subject_type: 'department', limit: LIST_MAX, state: true },
    POLL_MS,
  );
  const spent = useApi<Usage>(
    '/usage',
    { group_by: 'department', interval: 'total', from: monthStart(Date.now()), time_zone: TIME_ZONE },
    POLL_MS,
  );
  const done = (text: string) => {
    announce(text);
    for (const each of [departments, teams, limits, spent]) each.reload();
    setDialog(null);
  };
  return (
    <ListPage
      title={t.nav.departments}
      lead={t.departments.lead}
      create={
        mayChange
          ? { text: t.departments.new, onClick: () => setDialog({ what: 'create', parentId: null }) }
          : null
      }
      dialogs={
        dialog && (
          <DepartmentDialogs
            dialog={dialog}
            teams={teams.data?.data ?? []}
            onClose={() => setDialog(null)}
            onDone={done}
          />
        )
      }
    >
      <Load of={departments}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title={t.departments.empty} text={t.departments.emptyText} />
          ) : (
            <DepartmentTable
              nodes={treeOf(data, teams.data?.data ?? [], limits.data?.data ?? [], spent.data?.data ?? [])}
              actions={mayChange ? (node) => <DepartmentActions node={node} onOpen={setDialog} /> : null}
            />
          )
        }
      </Load>
    </ListPage>
  );
}

interface ActionsProps {
  node: DepartmentNode;
  onOpen: (dialog: DepartmentDialogState) => void;
}

function DepartmentActions({ node: { department, level }, onOpen }: ActionsProps) {
  const t = useMessages();
  const { id, name } = department;
  const button = (text: string, dialog: DepartmentDialogState) => (
    <button type="button" class="button small" onClick={() => onOpen(dialog)}>
      {text}
      <span class="hidden"> {name}</span>
    </button>
  );
  return (
    <>
      {button(t.departments.addTeam, { what: 'move', departmentId: id })}{' '}
      {level < LEVELS_MAX && button(t.departments.addBelow, { what: 'create', parentId: id })}{' '}
      {button(t.common.change, { what: 'change', department })}{' '}
      {button(t.common.remove, { what: 'delete', department })}
    </>
  );
}

const LEVELS_MAX = 5;

interface DialogProps {
  dialog: DepartmentDialogState;
  teams: readonly Team[];
  onClose: () => void;
  onDone: (text: string) => void;
}

function DepartmentDialogs({ dialog, teams, onClose, onDone }: DialogProps) {
  const t = useMessages();
  if (dialog.what === 'move')
    return <MoveTeam departmentId={dialog.departmentId} teams={teams} onClose={onClose} onDone={onDone} />;
  if (dialog.what === 'delete') {
    const { id, name } = dialog.department;
    return (
      <FormDialog
        title={t.departments.deleteTitle(name)}
        text={t.departments.deleteText}
        submit={t.common.remove}
        danger
        onClose={onClose}
        send={async () => {
          await remove<Department>(`/departments/${id}`);
          onDone(t.departments.deleted(name));
        }}
      />
    );
  }
  return (
    <DepartmentForm
      department={dialog.what === 'change' ? dialog.department : null}
      parentId={dialog.what === 'change' ? dialog.department.parent_id : dialog.parentId}
      onClose={onClose}
      onDone={onDone}
    />
  );
}

interface FormProps {
  /** Null: a new one. */
  department: Department | null;
  parentId: string | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

function DepartmentForm({ department, parentId, onClose, onDone }: FormProps) {
  const t = useMessages();
  const [name, setName] = useState(department?.name ?? '');
  const [parent, setParent] = useState(parentId ?? '');
  const choices = useDepartmentOptions().filter(({ value }) => value !== department?.id);
  const title = department === null ? t.departments.new : t.departments.edit;
  return (
    <FormDialog
      title={title}
      submit={department === null ? t.departments.new : t.common.save}
      onClose={onClose}
      check={() => ({ name: name.trim() === '' && t.common.required })}
      send={async () => {
        const body = { name: name.trim(), parent_id: parent === '' ? null : parent };
        if (department === null) await post<Department>('/departments', body);
        else await patch<Department>(`/departments/${department.id}`, body);
        onDone(department === null ? t.departments.made(body.name) : t.departments.changed(body.name));
      }}
    >
      <TextField label={t.common.name} param="name" value={name} onValue={setName} autofocus />
      <SelectField
        label={t.departments.parent}
        param="parent_id"
        hint={t.departments.parentHint}
        value={parent}
        onValue={setParent}
        options={[{ value: '', text: t.departments.top }, ...choices]}
      />
    </FormDialog>
  );
}

interface MoveProps {
  departmentId: string;
  teams: readonly Team[];
  onClose: () => void;
  onDone: (text: string) => void;
}

function MoveTeam({ departmentId, teams, onClose, onDone }: MoveProps) {
  const t = useMessages();
  const departments = useDepartmentOptions();
  const [team, setTeam] = useState('');
  const [target, setTarget] = useState(departmentId);
  const choices: Option[] = teams.map(({ id, name }) => ({ value: id, text: name }));
  return (
    <FormDialog
      title={t.departments.moveTitle}
      text={t.departments.moveText}
      submit={t.departments.move}
      onClose={onClose}
      check={() => ({ team: team === '' && t.common.required })}
      send={async () => {
        const { name } = await patch<Team>(`/teams/${team}`, {
          department_id: target === '' ? null : target,
        });
        onDone(t.departments.moved(name));
      }}
    >
      <SelectField
        label={t.common.team}
        param="team"
        value={team}
        onValue={setTeam}
        options={[{ value: '', text: '—' }, ...choices]}
      />
      <SelectField
        label={t.departments.department}
        param="department_id"
        value={target}
        onValue={setTarget}
        options={[{ value: '', text: t.departments.none }, ...departments]}
      />
    </FormDialog>
  );
}
