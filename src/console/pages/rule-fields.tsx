/** The fields of a limit's rule, in the form of a limit and in that of a plan. */
import { SelectField, TextField } from '../parts/field.tsx';
import { TIME_ZONE } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import type { Meter } from './limit-text.tsx';
import { type Rule, startsOf, type WindowName, windowNameOf, windowsOf } from './rule.ts';

const METERS = ['cost_usd', 'tokens', 'input_tokens', 'output_tokens', 'requests', 'concurrency'] as const;
const TIME_ZONES = [...new Set(['UTC', TIME_ZONE, ...Intl.supportedValuesOf('timeZone')])];

export const NEW_RULE: Rule = {
  meter: 'cost_usd',
  amount: '',
  window: 'month',
  timeZone: TIME_ZONE,
  seconds: '60',
  startMonth: '',
  startDay: '',
  startHour: '',
};

interface RuleFieldsProps {
  rule: Rule;
  onRule: (rule: Rule) => void;
  /** Before the API's names of the fields. */
  prefix?: string;
}

export function RuleFields({ rule, onRule, prefix = '' }: RuleFieldsProps) {
  const t = useMessages();
  const set = (part: Partial<Rule>) => onRule({ ...rule, ...part });
  const windows = windowsOf(rule.meter);
  const window = windowNameOf(rule);
  return (
    <>
      <div class="row">
        <SelectField
          label={t.limits.meter}
          param={`${prefix}meter`}
          value={rule.meter}
          onValue={(meter) => set({ meter: meter as Meter })}
          options={METERS.map((value) => ({ value, text: t.limits.meters[value] }))}
        />
        <TextField
          label={rule.meter === 'cost_usd' ? t.common.amount : t.limits.quantity}
          param={`${prefix}amount`}
          hint={rule.meter === 'cost_usd' ? t.common.wholeAmount : t.limits.wholeHint}
          value={rule.amount}
          onValue={(amount) => set({ amount })}
          numeric
        />
      </div>
      {windows.length > 1 && (
        <div class="row">
          <SelectField
            label={t.limits.window}
            param={`${prefix}window`}
            value={window}
            onValue={(name) => set({ window: name as WindowName })}
            options={windows.map((value) => ({
              value,
              text: value === 'rolling' ? t.limits.rollingWindow : t.limits.windows[value],
            }))}
          />
          {window === 'rolling' ? (
            <TextField
              label={t.limits.length}
              param={`${prefix}window.seconds`}
              value={rule.seconds}
              onValue={(seconds) => set({ seconds })}
              numeric
            />
          ) : (
            window !== 'lifetime' && (
              <TextField
                label={t.limits.timeZone}
                param={`${prefix}window.time_zone`}
                hint={t.limits.timeZoneHint}
                value={rule.timeZone}
                onValue={(timeZone) => set({ timeZone })}
                among={TIME_ZONES}
              />
            )
          )}
        </div>
      )}
      <StartFields rule={rule} window={window} onRule={onRule} prefix={prefix} />
    </>
  );
}

/** Where a calendar window begins; closed, because most begin as the calendar does. */
function StartFields({ rule, window, onRule, prefix }: Required<RuleFieldsProps> & { window: WindowName }) {
  const t = useMessages();
  const starts = startsOf(window);
  if (starts.start_hour === undefined) return null;
  const set = (part: Partial<Rule>) => onRule({ ...rule, ...part });
  return (
    <details class="more">
      <summary>{t.limits.starts}</summary>
      <div class="row">
        {starts.start_month !== undefined && (
          <TextField
            label={t.limits.startMonth}
            param={`${prefix}window.start_month`}
            hint={t.limits.startMonthHint}
            optional
            value={rule.startMonth}
            onValue={(startMonth) => set({ startMonth })}
            numeric
          />
        )}
        {starts.start_day !== undefined && (
          <TextField
            label={t.limits.startDay}
            param={`${prefix}window.start_day`}
            hint={window === 'week' ? t.limits.startWeekdayHint : t.limits.startDayHint}
            optional
            value={rule.startDay}
            onValue={(startDay) => set({ startDay })}
            numeric
          />
        )}
        <TextField
          label={t.limits.startHour}
          param={`${prefix}window.start_hour`}
          hint={t.limits.startHourHint}
          optional
          value={rule.startHour}
          onValue={(startHour) => set({ startHour })}
          numeric
        />
      </div>
    </details>
  );
}
