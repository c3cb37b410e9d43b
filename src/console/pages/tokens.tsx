/** Service tokens: the list, and the dialogs that make and revoke one. Invariant: a new token stays visible until it was copied. */
import { useState } from 'preact/hooks';
import { post, remove } from '../api/client.ts';
import type { GivenRole, MadeToken, ServiceToken } from '../api/types.ts';
import { usePages } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { Secret } from '../parts/copy.tsx';
import { Dialog, FormDialog } from '../parts/dialog.tsx';
import { DateTimeField, TextField } from '../parts/field.tsx';
import { Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { toInstant } from './dates.ts';
import { RoleFields, useRoleText } from './role-fields.tsx';

export function TokensPanel() {
  const t = useMessages();
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<MadeToken | null>(null);
  const [revoking, setRevoking] = useState<ServiceToken | null>(null);
  const pages = usePages<ServiceToken>('/tokens', {});
  return (
    <Panel
      title={t.tokens.title}
      note={t.tokens.text}
      actions={
        <button type="button" class="button" onClick={() => setMaking(true)}>
          {t.tokens.new}
        </button>
      }
    >
      <Paged pages={pages} empty={<Empty title={t.tokens.empty} />}>
        {(tokens) => <TokenTable tokens={tokens} onRevoke={setRevoking} />}
      </Paged>
      {making && (
        <NewTokenDialog
          onClose={() => setMaking(false)}
          onMade={(token) => {
            announce(t.tokens.made(token.name));
            setMade(token);
            setMaking(false);
            pages.reload();
          }}
        />
      )}
      {made && (
        <Dialog title={t.tokens.token} onClose={() => setMade(null)} mustAnswer wide>
          <div class="dialog-body">
            <p class="notice">{t.tokens.shownOnce}</p>
            <Secret label={t.tokens.token} text={made.token} />
            <div class="dialog-actions">
              <button type="button" class="button primary" onClick={() => setMade(null)}>
                {t.tokens.done}
              </button>
            </div>
          </div>
        </Dialog>
      )}
      {revoking && (
        <FormDialog
          title={t.tokens.revokeTitle(revoking.name)}
          text={t.tokens.revokeText}
          submit={t.tokens.revoke}
          danger
          onClose={() => setRevoking(null)}
          send={async () => {
            await remove(`/tokens/${revoking.id}`);
            announce(t.tokens.revoked(revoking.name));
            setRevoking(null);
            pages.reload();
          }}
        />
      )}
    </Panel>
  );
}

interface TokenTableProps {
  tokens: ServiceToken[];
  onRevoke: (token: ServiceToken) => void;
}

function TokenTable({ tokens, onRevoke }: TokenTableProps) {
  const t = useMessages();
  const format = useFormat();
  const roleText = useRoleText();
  return (
    <Table
      caption={t.tokens.title}
      rows={tokens}
      keyOf={(token) => token.id}
      columns={[
        {
          key: 'name',
          label: t.common.name,
          heads: true,
          cell: (token) => (
            <>
              {token.name}
              <span class="under code">{token.prefix}…</span>
            </>
          ),
        },
        { key: 'roles', label: t.people.roles, cell: (token) => roleText(token.roles) },
        {
          key: 'expires',
          label: t.common.expires,
          number: true,
          cell: (token) => format.day(token.expires_at),
        },
        {
          key: 'used',
          label: t.tokens.lastUsed,
          number: true,
          cell: ({ last_used_at: at }) => (at === null ? t.common.never : format.shortDateTime(at)),
        },
        {
          key: 'actions',
          label: t.common.actions,
          quiet: true,
          cell: (token) => (
            <button type="button" class="button small" onClick={() => onRevoke(token)}>
              {t.tokens.revoke}
              <span class="hidden"> {token.name}</span>
            </button>
          ),
        },
      ]}
    />
  );
}

interface NewTokenProps {
  onClose: () => void;
  onMade: (token: MadeToken) => void;
}

function NewTokenDialog({ onClose, onMade }: NewTokenProps) {
  const t = useMessages();
  const [name, setName] = useState('');
  const [expires, setExpires] = useState('');
  const [roles, setRoles] = useState<GivenRole[]>([{ role: 'viewer', scope: { type: 'org' } }]);
  return (
    <FormDialog
      title={t.tokens.new}
      submit={t.tokens.new}
      onClose={onClose}
      check={() => ({
        name: name.trim() === '' && t.common.required,
        expires_at: toInstant(expires) === undefined && t.common.badDate,
      })}
      send={async () => {
        const at = toInstant(expires);
        const body = { name: name.trim(), roles, ...(at ? { expires_at: at } : {}) };
        onMade(await post<MadeToken>('/tokens', body));
      }}
    >
      <TextField label={t.common.name} param="name" value={name} onValue={setName} autofocus />
      <DateTimeField
        label={t.common.expires}
        param="expires_at"
        hint={t.tokens.expiresHint}
        optional
        value={expires}
        onValue={setExpires}
      />
      <RoleFields roles={roles} onRoles={setRoles} />
    </FormDialog>
  );
}
