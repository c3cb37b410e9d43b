/** Dialogs that create, rotate and revoke keys. Invariant: a new key stays visible until the user confirms a copy. */
import { useState } from 'preact/hooks';
import { post, remove } from '../api/client.ts';
import type { Key, MadeKey } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Secret } from '../parts/copy.tsx';
import { Dialog, FormDialog } from '../parts/dialog.tsx';
import { DateTimeField, SelectField, TextField } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { toInstant } from './dates.ts';
import { useTeamOptions } from './options.tsx';
import { modelsOf, tagsOf } from './rule.ts';

export type KeyDialogState = { what: 'create' } | { what: 'rotate' | 'revoke'; key: Key };

interface KeyDialogsProps {
  dialog: KeyDialogState | null;
  /** The team that a new key is for; null: the dialog has a field for it. */
  teamId: string | null;
  onClose: () => void;
  onDone: () => void;
}

export function KeyDialogs({ dialog, teamId, onClose, onDone }: KeyDialogsProps) {
  const t = useMessages();
  const [made, setMade] = useState<MadeKey | null>(null);
  const finish = (key: MadeKey, text: string) => {
    announce(text);
    setMade(key);
    onDone();
    onClose();
  };
  return (
    <>
      {dialog?.what === 'create' && (
        <NewKeyDialog
          teamId={teamId}
          onClose={onClose}
          onMade={(key) => finish(key, t.keys.made(key.name))}
        />
      )}
      {dialog?.what === 'rotate' && (
        <RotateDialog
          apiKey={dialog.key}
          onClose={onClose}
          onMade={(key) => finish(key, t.keys.rotated(key.name))}
        />
      )}
      {dialog?.what === 'revoke' && (
        <FormDialog
          title={t.keys.revokeTitle(dialog.key.name)}
          text={t.keys.revokeText}
          submit={t.keys.revoke}
          danger
          onClose={onClose}
          send={async () => {
            await remove<Key>(`/keys/${dialog.key.id}`);
            announce(t.keys.revokedNow(dialog.key.name));
            onDone();
            onClose();
          }}
        />
      )}
      {made && (
        <Dialog title={t.keys.theKey} onClose={() => setMade(null)} mustAnswer wide>
          <div class="dialog-body">
            <p class="notice">{t.keys.shownOnce}</p>
            <Secret label={t.keys.theKey} text={made.key} />
            <div class="dialog-actions">
              <button type="button" class="button primary" onClick={() => setMade(null)}>
                {t.keys.done}
              </button>
            </div>
          </div>
        </Dialog>
      )}
    </>
  );
}

interface NewKeyProps {
  teamId: string | null;
  onClose: () => void;
  onMade: (key: MadeKey) => void;
}

function NewKeyDialog({ teamId, onClose, onMade }: NewKeyProps) {
  const t = useMessages();
  const teams = useTeamOptions('keys:write');
  const [team, setTeam] = useState(teamId ?? '');
  const [name, setName] = useState('');
  const [models, setModels] = useState('');
  const [tags, setTags] = useState('');
  const [expires, setExpires] = useState('');
  return (
    <FormDialog
      title={t.keys.new}
      submit={t.keys.new}
      onClose={onClose}
      check={() => ({
        team_id: team === '' && t.common.required,
        name: name.trim() === '' && t.common.required,
        tags: tagsOf(tags) === undefined && t.keys.tagsWrong,
        expires_at: toInstant(expires) === undefined && t.common.badDate,
      })}
      send={async () => {
        const body = {
          team_id: team,
          name: name.trim(),
          models: modelsOf(models),
          tags: tagsOf(tags) ?? null,
          expires_at: toInstant(expires) ?? null,
        };
        onMade(await post<MadeKey>('/keys', body));
      }}
    >
      {teamId === null && (
        <SelectField
          label={t.common.team}
          param="team_id"
          value={team}
          onValue={setTeam}
          options={[{ value: '', text: '—' }, ...teams]}
        />
      )}
      <TextField label={t.common.name} param="name" value={name} onValue={setName} autofocus />
      <TextField
        label={t.keys.models}
        param="models"
        hint={t.keys.modelsHint}
        optional
        value={models}
        onValue={setModels}
      />
      <TextField
        label={t.keys.tags}
        param="tags"
        hint={t.keys.tagsHint}
        optional
        value={tags}
        onValue={setTags}
      />
      <DateTimeField
        label={t.common.expires}
        param="expires_at"
        hint={t.keys.expiresHint}
        optional
        value={expires}
        onValue={setExpires}
      />
    </FormDialog>
  );
}

interface RotateProps {
  apiKey: Key;
  onClose: () => void;
  onMade: (key: MadeKey) => void;
}

function RotateDialog({ apiKey, onClose, onMade }: RotateProps) {
  const t = useMessages();
  const [grace, setGrace] = useState('0');
  return (
    <FormDialog
      title={t.keys.rotateTitle(apiKey.name)}
      text={t.keys.rotateText}
      submit={t.keys.rotate}
      onClose={onClose}
      send={async () => {
        onMade(await post<MadeKey>(`/keys/${apiKey.id}/rotate`, { grace_seconds: Number(grace) }));
      }}
    >
      <SelectField
        label={t.keys.grace}
        param="grace_seconds"
        value={grace}
        onValue={setGrace}
        options={Object.entries(t.keys.graces).map(([value, text]) => ({ value, text }))}
      />
    </FormDialog>
  );
}
