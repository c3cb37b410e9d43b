/**
 * A notice as people read it, in English and in Chinese: a subject, lines of text, and a page that mail clients show (tables
 * and colours of cells alone: no image, no style sheet, nothing from elsewhere). Pure.
 */
import { amountText } from './amount.ts';
import { METERS } from './limit.ts';
import { usd } from './money.ts';
import type { DigestFacts, Language, NoticeFacts } from './notice.ts';
import { formatUsd } from './quantities.ts';
import { DAY_MS } from './window.ts';

export interface NoticeMessage {
  subject: string;
  /** What follows the subject, line by line. */
  lines: string[];
  /** The same for mails, whose last line says why they come. */
  html: string;
  why: string;
}

type About = NonNullable<Extract<NoticeFacts, { kind: 'warning' }>['about']>;

interface Words {
  installation: string;
  team(name: string): string;
  about(type: About['type'], name: string, team: string | null): string;
  /** @param percent null: used up, though not to the last digit */
  warning(used: string, of: string, percent: number | null, source: 'limit' | 'grant'): string;
  denied: string;
  ends(at: string, source: 'limit' | 'grant'): string;
  projection(day: string): string;
  remaining(left: string, spent: string): string;
  spike(times: number, cost: string): string;
  usual(cost: string): string;
  calls: string;
  digest(kind: DigestFacts['kind'], cost: string, from: string, to: string): string;
  before(cost: string, change: string): string;
  count(calls: number): string;
  days: string;
  teams: string;
  models: string;
  keys: string;
  others: string;
  open: string;
  /** Below a mail. */
  why: string;
}

const WORDS: Record<Language, Words> = {
  en: {
    installation: 'The whole installation',
    team: (name) => `Team ${name}`,
    about: (type, name, team) => {
      const what = { department: 'Department', key: 'Key', user: 'End user', tag: 'Tag' }[type];
      return `${what} ${name}${team === null ? '' : ` of team ${team}`}`;
    },
    warning: (used, of, percent, source) =>
      `has used ${percent === null ? 'up' : `${percent} % of`} its ${source}: ${used} of ${of}`,
    denied: 'A call was denied, because it may have cost more than is left.',
    ends: (at, source) => (source === 'limit' ? `It resets at ${at}.` : `It expires at ${at}.`),
    projection: (day) => `will have run out of money on ${day}, if it goes on like this`,
    remaining: (left, spent) => `${left} is left; ${spent} was spent in the last seven days.`,
    spike: (times, cost) =>
      times === 0 ? `spent ${cost} within an hour` : `spent ${cost} within an hour, ${times} times the usual`,
    usual: (cost) => `An hour usually costs ${cost}.`,
    calls: 'The dearest calls of that hour',
    digest: (kind, cost, from, to) =>
      `spent ${cost} in the ${kind === 'weekly' ? 'week' : 'month'} from ${from} to ${to}`,
    before: (cost, change) => `Before: ${cost} (${change}).`,
    count: (calls) => (calls === 1 ? '1 call.' : `${grouped(String(calls))} calls.`),
    days: 'By day (UTC)',
    teams: 'By team',
    models: 'By model',
    keys: 'By key',
    others: 'All others',
    open: 'Open in Tollgate',
    why: 'You get this as a recipient of notices. Who gets which is set on the page Notices of Tollgate’s console.',
  },
  zh: {
    installation: '整个系统',
    team: (name) => `团队 ${name}`,
    about: (type, name, team) => {
      const what = { department: '部门', key: '密钥', user: '终端用户', tag: '标签' }[type];
      return `${team === null ? '' : `团队 ${team} 的`}${what} ${name}`;
    },
    warning: (used, of, percent, source) => {
      const what = source === 'limit' ? '限额' : '额度';
      return `${percent === null ? `已用完${what}` : `已用去${what}的 ${percent} %`}：${used}（共 ${of}）`;
    },
    denied: '有一次调用被拒绝，因为其费用可能超过剩余金额。',
    ends: (at, source) => (source === 'limit' ? `将于 ${at} 重置。` : `将于 ${at} 到期。`),
    projection: (day) => `按当前速度，资金将于 ${day} 用完`,
    remaining: (left, spent) => `剩余 ${left}；最近七天花费 ${spent}。`,
    spike: (times, cost) =>
      times === 0 ? `一小时内花费 ${cost}` : `一小时内花费 ${cost}，是平常的 ${times} 倍`,
    usual: (cost) => `平常每小时花费 ${cost}。`,
    calls: '该小时内最贵的调用',
    digest: (kind, cost, from, to) =>
      `${kind === 'weekly' ? '上周' : '上月'}（${from} 至 ${to}）花费 ${cost}`,
    before: (cost, change) => `上期：${cost}（${change}）。`,
    count: (calls) => `${grouped(String(calls))} 次调用。`,
    days: '按日（UTC）',
    teams: '按团队',
    models: '按模型',
    keys: '按密钥',
    others: '其他合计',
    open: '在 Tollgate 中打开',
    why: '您是通知的接收人，因此收到此邮件。接收人及通知种类可在 Tollgate 控制台的“通知”页面更改。',
  },
};

/** Returns the message of a notice. @param consoleUrl where the console is, for links; null: without */
export function messageOf(facts: NoticeFacts, language: Language, consoleUrl: string | null): NoticeMessage {
  const words = WORDS[language];
  const who = whoOf(facts, words);
  const { said, lines, tables } = partsOf(facts, words);
  const subject = `${who}${language === 'zh' ? '：' : ' '}${said}`;
  const texts = tables.flatMap(({ title, rows }) => [
    '',
    `${title}:`,
    ...rows.map(({ name, cost }) => `  ${name ?? words.others}  ${money(cost)}`),
  ]);
  return {
    subject,
    lines: [...lines, ...texts, ...(consoleUrl === null ? [] : ['', consoleUrl])],
    html: pageOf({ subject, lines, tables, consoleUrl }, words),
    why: words.why,
  };
}

function whoOf(facts: NoticeFacts, words: Words): string {
  const { team } = facts;
  if (facts.kind !== 'spike' && facts.about) return words.about(facts.about.type, facts.about.name, team);
  return team === null ? words.installation : words.team(team);
}

interface Rows {
  title: string;
  /** Null as a name: all others together. */
  rows: { name: string | null; cost: string }[];
}

interface Parts {
  said: string;
  lines: string[];
  /** Drawn as bars. */
  tables: Rows[];
}

function partsOf(facts: NoticeFacts, words: Words): Parts {
  switch (facts.kind) {
    case 'warning': {
      const { threshold, source, denied, endsAt } = facts;
      const [used, of] = amountsIn(facts.meter, facts.settled, facts.amount);
      const said = words.warning(used, of, denied ? null : threshold, source);
      const end = endsAt === null ? [] : [words.ends(minuteOf(endsAt), source)];
      return { said, lines: [...(denied ? [words.denied] : []), ...end], tables: [] };
    }
    case 'projection': {
      const lines = [words.remaining(money(facts.remaining), money(facts.spent))];
      return { said: words.projection(facts.exhaustsAt.slice(0, 10)), lines, tables: [] };
    }
    case 'spike': {
      const rows = facts.calls.map(({ id, model, key, cost }) => ({ name: `${model}, ${key}, ${id}`, cost }));
      const tables = rows.length === 0 ? [] : [{ title: words.calls, rows }];
      const said = words.spike(facts.times, money(facts.cost));
      return { said, lines: [words.usual(money(facts.usual))], tables };
    }
    default:
      return digestParts(facts, words);
  }
}

function digestParts(facts: DigestFacts, words: Words): Parts {
  const { kind, cost, before, calls, days, teams = [], models, keys } = facts;
  const last = new Date(Date.parse(facts.to) - DAY_MS).toISOString().slice(0, 10);
  const tables = [
    { title: words.days, rows: days.map(({ day, cost }) => ({ name: day, cost })) },
    { title: words.teams, rows: teams },
    { title: words.models, rows: models },
    { title: words.keys, rows: keys },
  ];
  return {
    said: words.digest(kind, money(cost), facts.from.slice(0, 10), last),
    lines: [words.before(money(before), changeOf(usd(before), usd(cost))), words.count(calls)],
    tables: tables.filter(({ rows }) => rows.length > 0),
  };
}

/** Returns by how much an amount changed, as a whole percentage; what had been nothing has none. */
function changeOf(before: bigint, now: bigint): string {
  if (before <= 0n) return '–';
  const percent = ((now - before) * 100n) / before;
  return `${percent > 0n ? '+' : ''}${percent} %`;
}

/** Returns what is used, and of what: below a dollar cents would tell little. */
function amountsIn(meter: string, used: string, of: string): [string, string] {
  const known = METERS.find((name) => name === meter);
  if (known !== undefined && known !== 'cost_usd')
    return [amountText(known, usd(used)), amountText(known, usd(of))];
  const decimals = usd(of) < DOLLAR ? 4 : 2;
  return [money(used, decimals), money(of, decimals)];
}

const DOLLAR = 10n ** 12n;

/** Dollars as people read them: rounded to cents, or to more decimals where there are any. */
function money(amount: string, decimals = 2): string {
  const exact = usd(amount);
  // What was corrected may be less than nothing.
  if (exact < 0n) return `−${money(formatUsd(-exact), decimals).replace('< ', '')}`;
  const unit = DOLLAR / 10n ** BigInt(decimals);
  const units = (exact + unit / 2n) / unit;
  if (exact !== 0n && units === 0n) return `< $${formatUsd(unit)}`;
  const [whole = '', fraction = ''] = formatUsd(units * unit).split('.');
  return `$${grouped(whole)}.${fraction}`;
}

/** Digits in threes. */
function grouped(whole: string): string {
  return whole.replace(/\B(?=(\d{3})+$)/g, ',');
}

function minuteOf(moment: string): string {
  return `${moment.slice(0, 16).replace('T', ' ')} UTC`;
}

const BAR_PIXELS = 220;
const TEXT_STYLE = 'font:14px/1.5 Helvetica,Arial,sans-serif;color:#1c2430';

interface PageParts extends Pick<Parts, 'lines' | 'tables'> {
  subject: string;
  consoleUrl: string | null;
}

function pageOf({ subject, lines, tables, consoleUrl }: PageParts, words: Words): string {
  const paragraphs = lines.map((line) => `<p style="margin:0 0 8px">${escaped(line)}</p>`);
  const charts = tables.map((table) => chartOf(table, words.others));
  const link = (path: string, text: string) =>
    `<a href="${escaped(`${consoleUrl}${path}`)}" style="color:#0b5cad">${escaped(text)}</a>`;
  const open = consoleUrl === null ? '' : `<p>${link('', words.open)}</p>`;
  const why = consoleUrl === null ? escaped(words.why) : link('/notices', words.why);
  return (
    `<!doctype html><html><head><meta charset="utf-8"><title>${escaped(subject)}</title></head>` +
    `<body style="margin:0;padding:24px;background:#ffffff;${TEXT_STYLE}">` +
    `<h1 style="font-size:18px;margin:0 0 12px">${escaped(subject)}</h1>` +
    `${paragraphs.join('')}${charts.join('')}${open}` +
    `<p style="font-size:12px;margin:24px 0 0">${why}</p></body></html>`
  );
}

/** A chart of bars made of cells: mail clients show neither scripts nor SVG, and block images. */
function chartOf({ title, rows }: Rows, others: string): string {
  const most = rows.reduce((max, { cost }) => (usd(cost) > max ? usd(cost) : max), 0n);
  const bars = rows.map(({ name, cost }) => {
    const width = most <= 0n || usd(cost) <= 0n ? 0 : Number((usd(cost) * BigInt(BAR_PIXELS)) / most);
    const bar =
      width === 0
        ? ''
        : `<table role="presentation" cellspacing="0" cellpadding="0" border="0"><tr><td width="${width}" height="12" ` +
          `bgcolor="#2f6fbd" style="width:${width}px;height:12px;font-size:0;line-height:0">&nbsp;</td></tr></table>`;
    return (
      `<tr><td style="padding:2px 12px 2px 0;${TEXT_STYLE}">${escaped(name ?? others)}</td>` +
      `<td width="${BAR_PIXELS}" style="padding:2px 12px 2px 0">${bar}</td>` +
      `<td align="right" style="padding:2px 0;${TEXT_STYLE}">${escaped(money(cost))}</td></tr>`
    );
  });
  return (
    `<h2 style="font-size:15px;margin:16px 0 4px">${escaped(title)}</h2>` +
    `<table cellspacing="0" cellpadding="0" border="0">${bars.join('')}</table>`
  );
}

function escaped(text: string): string {
  return slackText(text).replaceAll('"', '&quot;');
}

/** Returns a text as Slack shows it unchanged: no name in it can notify a channel. */
export function slackText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Returns the body for a webhook of Slack. */
export function slackBody({ subject, lines }: NoticeMessage): string {
  return JSON.stringify({ text: slackText([`*${subject}*`, ...lines].join('\n')) });
}

/** Returns the body for a webhook of Microsoft Teams: one adaptive card. Markdown of names is shown as it is. */
export function teamsBody({ subject, lines }: NoticeMessage): string {
  const plain = (text: string) => text.replace(/([\\`*_[\]<>#])/g, '\\$1');
  const block = (text: string, more: object) => ({
    type: 'TextBlock',
    text: plain(text),
    wrap: true,
    ...more,
  });
  const body = [
    block(subject, { weight: 'Bolder', size: 'Medium' }),
    ...lines.filter((line) => line !== '').map((line) => block(line, { spacing: 'Small' })),
  ];
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    ...{ type: 'AdaptiveCard', version: '1.4', body },
  };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return JSON.stringify({ type: 'message', attachments: [{ contentType, content }] });
}

/** Returns the body for a program: the facts, with a sentence for people. */
export function factsBody(
  { id, raisedAt, teamId }: { id: string; raisedAt: Date; teamId: string | null },
  facts: NoticeFacts,
  { subject }: NoticeMessage,
): string {
  const { kind, team, ...rest } = facts;
  const head = { type: `notice.${kind}`, id, timestamp: raisedAt.toISOString(), text: subject };
  return JSON.stringify({ ...head, team_id: teamId, team_name: team, ...(snake(rest) as object) });
}

/** Names as the admin API writes them. */
function snake(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snake);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snake(inner),
    ]),
  );
}
