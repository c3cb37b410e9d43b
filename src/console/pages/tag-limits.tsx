/** The limits on a tag. */
import { useState } from 'preact/hooks';
import type { Limit, Page as PageOf } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { useMay } from '../shell/session.ts';
import { type LimitDialogState, LimitDialogs } from './limit-dialogs.tsx';
import { LimitTable } from './limit-table.tsx';
import { LimitActions } from './limits.tsx';
import { nameIn, useTeamOptions } from './options.tsx';

const LIMITS_MAX = 1_000;

interface LimitsProps {
  name: string;
  /** Null: every limit on the tag. Else those on this value, and those on each. */
  value: string | null;
}

export function TagLimitsPanel({ name, value }: LimitsProps) {
  const t = useMessages();
  const may = useMay();
  const teams = useTeamOptions();
  const [dialog, setDialog] = useState<LimitDialogState | null>(null);
  const limits = useApi<PageOf<Limit>>('/limits', { subject_type: 'tag', limit: LIMITS_MAX, state: true });
  const isOn = ({ subject }: Limit) =>
    subject.type === 'tag' && subject.name === name && (value === null || (subject.value ?? value) === value);
  return (
    <Panel
      title={t.tags.limitsOn(value === null ? name : `${name}=${value}`)}
      note={t.tags.limitsNote}
      actions={
        may('budgets:write') && (
          <button
            type="button"
            class="button"
            onClick={() => setDialog({ what: 'create', tag: { name, value: value ?? '' } })}
          >
            {t.limits.new}
          </button>
        )
      }
    >
      <Load of={limits}>
        {({ data }) => {
          const shown = data.filter(isOn).map(({ state, ...limit }) => ({ ...limit, ...state }));
          return shown.length === 0 ? (
            <Empty title={t.limits.empty} />
          ) : (
            <LimitTable
              limits={shown}
              teams={teams}
              nameOf={(id) => nameIn([], id)}
              actions={
                may('budgets:write')
                  ? (limit) =>
                      may('budgets:write', limit.team_id) && <LimitActions limit={limit} onOpen={setDialog} />
                  : undefined
              }
            />
          );
        }}
      </Load>
      <LimitDialogs dialog={dialog} teamId={null} onClose={() => setDialog(null)} onDone={limits.reload} />
    </Panel>
  );
}
