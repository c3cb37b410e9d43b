/** The body of a warning: a sentence for people (Slack shows it unchanged), and fields for programs. Pure. */
import { amountText, formatAmount } from '../domain/amount.ts';
import { usd } from '../domain/money.ts';
import { slackText } from '../domain/notice-message.ts';
import { windowFields } from '../domain/window.ts';
import type { DueWarning } from '../store/warning-deliveries.ts';

/** Returns the body of the webhook, the same at every attempt. */
export function warningBody(warning: DueWarning): string {
  const { source, sourceId, meter, settled, amount, endsAt } = warning;
  const excess = usd(settled) - usd(amount);
  return JSON.stringify({
    type: 'budget.warning',
    id: warning.id,
    timestamp: warning.raisedAt,
    text: warningText(warning),
    team_id: warning.teamName === null ? null : warning.teamId,
    team_name: warning.teamName,
    [`${source}_id`]: sourceId,
    ...(warning.sourceName === null ? {} : { [`${source}_name`]: warning.sourceName }),
    subject: { type: warning.subjectType, id: warning.subjectType === 'org' ? undefined : warning.subjectId },
    models: warning.models,
    meter,
    enforcement: warning.enforcement ?? 'strict',
    threshold: warning.threshold,
    amount: formatAmount(meter, usd(amount)),
    settled: formatAmount(meter, usd(settled)),
    over_limit: formatAmount(meter, excess > 0n ? excess : 0n),
    denied: warning.denied,
    window: warning.window === null ? null : windowFields(warning.window),
    window_starts_at: warning.window?.type === 'lifetime' ? null : warning.startsAt,
    ...(source === 'limit' ? { resets_at: endsAt } : { expires_at: endsAt }),
  });
}

/** Returns one or two sentences. Names are escaped for Slack, so that none can notify a channel. */
export function warningText(warning: DueWarning): string {
  const { meter, threshold, settled, amount, source, endsAt, denied } = warning;
  const used = `${amountText(meter, usd(settled))} of ${amountText(meter, usd(amount))}`;
  const end = endsAt === null ? '' : ` It ${source === 'limit' ? 'resets' : 'expires'} at ${endsAt}.`;
  // The remaining amount pays for no call, so the percentage would mislead.
  const reach = denied ? 'has used up' : `has used ${threshold} % of`;
  return `${subjectText(warning)} ${reach} its ${sourceText(warning)}: ${used}.${consequence(warning)}${end}`;
}

function subjectText({ subjectType, subjectId, teamName, keyName, departmentName }: DueWarning): string {
  // A value of a tag that an admin names is counted over all teams.
  const ofTeam = teamName === null ? '' : ` of team ${slackText(teamName)}`;
  if (subjectType === 'org') return 'The whole installation';
  if (subjectType === 'department') return `Department ${slackText(departmentName ?? subjectId)}`;
  if (subjectType === 'key') return `Key ${slackText(keyName ?? subjectId)}${ofTeam}`;
  if (subjectType === 'user') return `End user ${slackText(subjectId)}${ofTeam}`;
  if (subjectType === 'tag') return `Tag ${slackText(subjectId)}${ofTeam}`;
  return `Team ${slackText(teamName ?? '')}`;
}

function sourceText({ source, sourceName, window, enforcement, models }: DueWarning): string {
  const name = sourceName === null ? '' : ` "${slackText(sourceName)}"`;
  if (source === 'grant' || window === null) return `grant${name}`;
  const soft = enforcement === 'soft' ? 'soft ' : '';
  const unit = window.type === 'calendar' ? ` of this ${window.unit}` : '';
  return `${soft}limit${name}${unit}${models === null ? '' : ` for ${slackText(models.join(', '))}`}`;
}

function consequence({ threshold, enforcement, denied }: DueWarning): string {
  if (denied) return ' A call was denied, because it may have cost more than is left.';
  if (threshold < 100) return '';
  return enforcement === 'soft' ? ' Calls go on.' : ' Calls are denied.';
}
