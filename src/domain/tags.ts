/**
 * Tags: what a call is for (project, cost centre, feature, agent run), as `name=value`. Owns: which tags a call has, from its key,
 * its header and its body's metadata, and which an admin allows. Does not own: how many values a team has opened (store). Pure.
 */

import { type ApiError, apiError } from './errors.ts';

/** Where a tag may come from. A key's own tags win: a client cannot escape the project of its key. */
export const TAG_SOURCES = ['key', 'header', 'metadata'] as const;
export type TagSource = (typeof TAG_SOURCES)[number];

/** What becomes of a client's value that is not allowed: the call is refused, or goes on without the tag. */
export const ON_UNKNOWN_TAG = ['refuse', 'ignore'] as const;
export type OnUnknownTag = (typeof ON_UNKNOWN_TAG)[number];

/** A tag's text as it stands in events' counters and in queries: `project=alpha`. Names hold no `=`. */
export type TagText = string;

/** What an admin says of a name. */
export interface TagRule {
  /** `*`: of all names that have no rule. */
  name: string;
  /** Null: any that fits the pattern. */
  values: readonly string[] | null;
  /** With `*` for any text; null: any value. */
  pattern: string | null;
  sources: readonly TagSource[];
  isRequired: boolean;
  onUnknown: OnUnknownTag;
  /** How many values a team may have open where no list names them. */
  valuesMax: number;
  /** After so many days without a call a value is closed. */
  idleDays: number;
}

export const ANY_TAG = '*';
/** The tag of the member of a team to whom a key belongs. It comes from the key alone. */
export const MEMBER_TAG = 'member';
export const TAG_NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;
export const TAG_VALUE_CHARACTERS_MAX = 128;
export const TAGS_PER_CALL_MAX = 16;
/** Rules of an installation, and values that one may list. */
export const TAG_RULES_MAX = 100;
export const TAG_VALUES_LISTED_MAX = 1_000;
/** Values of one name that a team may have open, where no list names them. */
export const TAG_VALUES_OPEN_MAX = 100_000;
const HEADER_CHARACTERS_MAX = 8_192;

const NAME = 'x-tollgate-tags';

export function tagText(name: string, value: string): TagText {
  return `${name}=${value}`;
}

/** Takes a tag's text apart; `value` null: the text is a name alone. */
export function parseTag(text: TagText): { name: string; value: string | null } {
  const at = text.indexOf('=');
  return at === -1 ? { name: text, value: null } : { name: text.slice(0, at), value: text.slice(at + 1) };
}

/** The tags of an event's column as texts, in the order of their names; null: there are none. */
export function tagTexts(tags: Readonly<Record<string, string>> | null): TagText[] | null {
  if (tags === null) return null;
  const texts = Object.entries(tags).map(([name, value]) => tagText(name, value));
  return texts.length === 0 ? null : texts.sort();
}

/** The tag of this name among a call's tags; null: it has none. */
export function tagNamed(tags: readonly TagText[] | null, name: string): TagText | null {
  if (tags === null) return null;
  for (const tag of tags) if (tag.startsWith(name) && tag[name.length] === '=') return tag;
  return null;
}

/** Values are what people can read: not empty, bounded, and nothing that Postgres or a terminal chokes on. */
export function isTagValue(value: string): boolean {
  return (
    value !== '' &&
    value.length <= TAG_VALUE_CHARACTERS_MAX &&
    value.isWellFormed() &&
    value.trim() === value &&
    !/\p{Cc}/u.test(value)
  );
}

/** Whether a rule allows a value. */
export function allowsValue(
  { values, pattern }: Pick<TagRule, 'values' | 'pattern'>,
  value: string,
): boolean {
  if (!isTagValue(value)) return false;
  if (values !== null) return values.includes(value);
  return pattern === null || matches(pattern, value);
}

/** `*` stands for any text. Goes back to the last `*` alone, so that no pattern takes long. */
function matches(pattern: string, value: string): boolean {
  let at = 0;
  let star = -1;
  let behindStar = 0;
  for (let place = 0; place < value.length; ) {
    if (pattern[at] === '*') {
      star = at++;
      behindStar = place;
    } else if (at < pattern.length && pattern[at] === value[place]) {
      at++;
      place++;
    } else if (star === -1) return false;
    else {
      at = star + 1;
      place = ++behindStar;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

/** What a call says of its tags. */
export interface TagsOfCall {
  /** The key's own, as texts in the order of their names; null: none. */
  own: readonly TagText[] | null;
  /** Values of the header, as they came. */
  headers: readonly string[];
  /** The texts of the body's `metadata`; null: it has none. */
  metadata: Readonly<Record<string, string>> | null;
  /** It costs money: required tags are required of it. */
  isBillable: boolean;
}

export interface CallTags {
  /** In the order of their names; null: none. */
  tags: readonly TagText[] | null;
  /** Those whose value no list names: that the team has it open is asked of the store. Null: none. */
  open: readonly { rule: TagRule; value: string }[] | null;
}

/**
 * Returns a call's tags, or why it is refused: `invalid_tag` for what the header says and no rule allows, `missing_tag` for a
 * required name. Metadata is the application's own: of its names only those of a rule are read.
 */
export function tagsOf(rules: readonly TagRule[], call: TagsOfCall): CallTags | ApiError {
  const found = new Map<string, string>();
  const open: { rule: TagRule; value: string }[] = [];
  for (const text of call.own ?? []) {
    const { name, value } = parseTag(text);
    if (value !== null) found.set(name, value);
  }
  const sent = headerTags(call.headers);
  if (!(sent instanceof Map)) return sent;
  const take = (rule: TagRule, value: string) => {
    found.set(rule.name, value);
    if (rule.values === null) open.push({ rule, value });
  };
  for (const [name, value] of sent) {
    if (found.has(name)) continue;
    const rule = rules.find((each) => each.name === name && each.sources.includes('header'));
    if (rule === undefined) {
      if (isIgnored(rules)) continue;
      return unknownName(rules, name);
    }
    if (allowsValue(rule, value)) take(rule, value);
    else if (rule.onUnknown === 'refuse') return unknownValue(rule, value, NAME);
  }
  for (const rule of rules) {
    const { metadata } = call;
    if (metadata === null || found.has(rule.name) || !rule.sources.includes('metadata')) continue;
    const value = Object.hasOwn(metadata, rule.name) ? metadata[rule.name] : undefined;
    if (value === undefined) continue;
    if (allowsValue(rule, value)) take(rule, value);
    else if (rule.onUnknown === 'refuse') return unknownValue(rule, value, 'metadata');
  }
  const missing = call.isBillable
    ? rules.find((rule) => rule.isRequired && !found.has(rule.name))
    : undefined;
  if (missing !== undefined) return missingTag(missing);
  if (found.size > TAGS_PER_CALL_MAX) return invalid(`A call has at most ${TAGS_PER_CALL_MAX} tags.`);
  const tags = [...found].map(([name, value]) => tagText(name, value)).sort();
  return { tags: tags.length === 0 ? null : tags, open: open.length === 0 ? null : open };
}

/** Reads `name=value,name=value`; a value may be percent-encoded, for commas and for other scripts. */
function headerTags(headers: readonly string[]): Map<string, string> | ApiError {
  const tags = new Map<string, string>();
  let characters = 0;
  for (const header of headers) {
    characters += header.length;
    if (characters > HEADER_CHARACTERS_MAX) {
      return invalid(`The header ${NAME} has at most ${HEADER_CHARACTERS_MAX} characters.`);
    }
    for (const part of header.split(',')) {
      if (part.trim() === '') continue;
      const { name, value } = parseTag(part.trim());
      const decoded = value === null ? null : decode(value.trim());
      if (decoded === null || !TAG_NAME.test(name)) {
        return invalid(
          `'${shown(part.trim())}' is no tag: write ${NAME}: name=value,name=value. A name begins with a letter and has letters, ` +
            `digits, '_', '.' or '-', at most 64; a value may be percent-encoded.`,
        );
      }
      if (tags.has(name)) return invalid(`The header ${NAME} says '${name}' twice: say it once.`);
      tags.set(name, decoded);
      if (tags.size > TAGS_PER_CALL_MAX) return invalid(`A call has at most ${TAGS_PER_CALL_MAX} tags.`);
    }
  }
  return tags;
}

function decode(value: string): string | null {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return null;
  }
}

function isIgnored(rules: readonly TagRule[]): boolean {
  return rules.some(({ name, onUnknown }) => name === ANY_TAG && onUnknown === 'ignore');
}

const SHOWN_MAX = 20;

function listed(texts: readonly string[]): string {
  const more = texts.length > SHOWN_MAX ? `, and ${texts.length - SHOWN_MAX} more` : '';
  return (
    texts
      .slice(0, SHOWN_MAX)
      .map((text) => `'${text}'`)
      .join(', ') + more
  );
}

function shown(text: string): string {
  return text.slice(0, 100).toWellFormed();
}

function unknownName(rules: readonly TagRule[], name: string): ApiError {
  const known = rules.flatMap(({ name: each, sources }) =>
    sources.includes('header') && each !== ANY_TAG ? [each] : [],
  );
  const would = known.length === 0 ? 'No tag is allowed in it yet.' : `These are: ${listed(known)}.`;
  return invalid(
    `The tag '${shown(name)}' is not allowed in the header ${NAME}. ${would} An administrator can allow more.`,
  );
}

function unknownValue(rule: TagRule, value: string, param: string): ApiError {
  const { name, values, pattern } = rule;
  const would =
    values !== null
      ? `one of ${listed(values)}`
      : `${pattern === null ? 'a text' : `a text like '${pattern}'`} of at most ${TAG_VALUE_CHARACTERS_MAX} characters, without spaces at its ends`;
  return apiError('invalid_tag', `The tag '${name}' may not be '${shown(value)}': it is ${would}.`, {
    param,
  });
}

function missingTag({ name, values, sources }: TagRule): ApiError {
  const example = values?.[0] ?? '…';
  const ways = [
    sources.includes('header') ? `in the header ${NAME}: ${name}=${example}` : null,
    sources.includes('metadata') ? `in 'metadata' of the body` : null,
    sources.includes('key') ? 'on its key, where an administrator sets it' : null,
  ].filter((way) => way !== null);
  const message = `Every call must have the tag '${name}': say it ${ways.join(', or ')}.`;
  return apiError('missing_tag', message, { param: NAME });
}

function invalid(message: string): ApiError {
  return apiError('invalid_tag', message, { param: NAME });
}
