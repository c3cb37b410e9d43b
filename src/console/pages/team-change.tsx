/** The form that changes a team: name, models, and whether it is unlimited. */
import { useState } from 'preact/hooks';
import { patch } from '../api/client.ts';
import type { Team } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField, Tick } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { modelsOf } from './rule.ts';

const CLIENT_GONE = ['', 'finish', 'cancel'] as const;
const ON_SHORTAGE = ['shorten', 'refuse'] as const;

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
  const [clientGone, setClientGone] = useState<string>(team.on_client_gone ?? '');
  const [shortage, setShortage] = useState<string>(team.on_shortage ?? 'shorten');
  const [contentDays, setContentDays] = useState(team.content_retention_days?.toString() ?? '');
  const [models, setModels] = useState(team.models?.join(', ') ?? '');
  return (
    <FormDialog
      title={t.teams.edit}
      submit={t.common.save}
      onClose={onClose}
      check={() => ({
        name: name.trim() === '' && t.common.required,
        content_retention_days: !/^\d*$/.test(contentDays.trim()) && t.teams.contentDaysWrong,
      })}
      send={async () => {
        await patch<Team>(`/teams/${team.id}`, {
          name: name.trim(),
          unlimited,
          fail_open: failOpen,
          on_client_gone: clientGone === '' ? null : clientGone,
          on_shortage: shortage === 'refuse' ? 'refuse' : null,
          content_retention_days: contentDays.trim() === '' ? null : Number(contentDays),
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
      <SelectField
        label={t.teams.clientGone}
        param="on_client_gone"
        hint={t.teams.clientGoneHint}
        value={clientGone}
        onValue={setClientGone}
        options={CLIENT_GONE.map((value) => ({ value, text: t.teams.clientGoneChoices[value] }))}
      />
      <SelectField
        label={t.teams.shortage}
        param="on_shortage"
        hint={t.teams.shortageHint}
        value={shortage}
        onValue={setShortage}
        options={ON_SHORTAGE.map((value) => ({ value, text: t.teams.shortageChoices[value] }))}
      />
      <TextField
        label={t.teams.contentDays}
        param="content_retention_days"
        hint={t.teams.contentDaysHint}
        optional
        numeric
        value={contentDays}
        onValue={setContentDays}
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
