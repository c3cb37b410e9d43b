/** The form that changes a team: name, models, and whether it is unlimited. */
import { useState } from 'preact/hooks';
import { patch } from '../api/client.ts';
import type { Team } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField, Tick } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { modelsOf } from './rule.ts';

interface TeamChangeProps {
  team: Team;
  onClose: () => void;
  onChanged: () => void;
}

export function TeamChangeDialog({ team, onClose, onChanged }: TeamChangeProps) {
  const t = useMessages();
  const [name, setName] = useState(team.name);
  const [unlimited, setUnlimited] = useState(team.unlimited);
  const [failOpen, setFailOpen] = useState(team.fail_open);
  const [models, setModels] = useState(team.models?.join(', ') ?? '');
  return (
    <FormDialog
      title={t.teams.edit}
      submit={t.common.save}
      onClose={onClose}
      check={() => ({ name: name.trim() === '' && t.common.required })}
      send={async () => {
        await patch<Team>(`/teams/${team.id}`, {
          name: name.trim(),
          unlimited,
          fail_open: failOpen,
          models: modelsOf(models),
        });
        announce(t.teams.changed(name.trim()));
        onChanged();
        onClose();
      }}
    >
      <TextField label={t.common.name} param="name" value={name} onValue={setName} autofocus />
      <TextField
        label={t.keys.models}
        param="models"
        hint={t.keys.modelsHint}
        optional
        value={models}
        onValue={setModels}
      />
      <Tick
        label={t.teams.unlimited}
        hint={t.teams.unlimitedHint}
        checked={unlimited}
        onChecked={setUnlimited}
      />
      <Tick label={t.teams.failOpen} hint={t.teams.failOpenHint} checked={failOpen} onChecked={setFailOpen} />
    </FormDialog>
  );
}
