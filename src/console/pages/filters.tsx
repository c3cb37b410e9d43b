/** Filters of a page, kept in its query: by team, by one of few values, by a text, and by a range of days. */
import { useMemo, useState } from 'preact/hooks';
import { Choice } from '../parts/choice.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { setQuery, useLocation } from '../shell/router.ts';
import type { Option } from './options.tsx';

/** The filter of a list by team, in the query of the page. */
export function TeamFilter({ teams }: { teams: readonly Option[] }) {
  const t = useMessages();
  const { query } = useLocation();
  return (
    <div class="inline">
      <SelectField
        label={t.common.team}
        param="team_id"
        value={query.get('team_id') ?? ''}
        onValue={(id) => setQuery({ team_id: id })}
        options={[{ value: '', text: t.common.allTeams }, ...teams]}
      />
    </div>
  );
}

interface ChoiceFilterProps {
  label: string;
  param: string;
  texts: object;
  /** What no choice stands for. */
  all?: string;
}

/** The filter of a list by one of few values, in the query of the page. */
export function ChoiceFilter({ label, param, texts, all }: ChoiceFilterProps) {
  const t = useMessages();
  const { query } = useLocation();
  return (
    <div class="inline">
      <SelectField
        label={label}
        param={param}
        value={query.get(param) ?? ''}
        onValue={(value) => setQuery({ [param]: value })}
        options={[
          { value: '', text: all ?? t.common.all },
          ...Object.entries(texts).map(([value, text]) => ({ value, text })),
        ]}
      />
    </div>
  );
}

interface TextFilterProps {
  label: string;
  param: string;
  /** Suggestions. */
  among?: readonly string[] | undefined;
}

/** Filters once the text is complete, not at each letter. */
export function TextFilter({ label, param, among }: TextFilterProps) {
  const value = useLocation().query.get(param) ?? '';
  const [text, setText] = useState(value);
  const set = () => setQuery({ [param]: text.trim() });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        set();
      }}
      onFocusOut={set}
    >
      <TextField label={label} param={param} value={text} onValue={setText} among={among} />
    </form>
  );
}

const DAY_MS = 86_400_000;
const DAYS = ['7', '30', '90'] as const;

/** How many days a report looks back, by the page's query. */
export function useDays(): (typeof DAYS)[number] {
  const asked = useLocation().query.get('days');
  return DAYS.find((each) => each === asked) ?? '30';
}

/** Returns when the range begins; the same text until the range changes. */
export function useSince(days: string): string {
  return useMemo(() => new Date(Date.now() - Number(days) * DAY_MS).toISOString(), [days]);
}

export function DaysFilter() {
  const t = useMessages();
  return (
    <Choice
      label={t.reports.range}
      value={useDays()}
      onChange={(days) => setQuery({ days })}
      options={DAYS.map((value) => ({ value, text: t.reports.days(value) }))}
    />
  );
}
