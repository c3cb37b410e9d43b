/** Tags: which names and values calls may have. */
import { z } from 'zod';
import {
  ANY_TAG,
  isTagValue,
  MEMBER_TAG,
  ON_UNKNOWN_TAG,
  parseTag,
  TAG_NAME,
  TAG_SOURCES,
  TAG_VALUE_CHARACTERS_MAX,
  TAG_VALUES_LISTED_MAX,
  TAG_VALUES_OPEN_MAX,
  TAGS_PER_CALL_MAX,
} from '../../domain/tags.ts';
import { instant, page, teamId, tokenCount } from './fields.ts';

const tagName = z
  .string()
  .regex(TAG_NAME, "must begin with a letter and have letters, digits, '_', '.' or '-', at most 64")
  .meta({ example: 'project' });
const tagValue = z
  .string()
  .refine(
    isTagValue,
    `must be a text of 1 to ${TAG_VALUE_CHARACTERS_MAX} characters, without control characters and without spaces at its ends`,
  )
  .meta({ example: 'alpha' });

/** The tags of a key, by name. */
export const keyTags = z
  .record(tagName, tagValue)
  .refine(
    (tags) => Object.keys(tags).length <= TAGS_PER_CALL_MAX,
    `must be at most ${TAGS_PER_CALL_MAX} tags`,
  )
  .refine(
    (tags) => !Object.hasOwn(tags, MEMBER_TAG),
    `must not say '${MEMBER_TAG}': the key has a field of that name`,
  )
  .nullable()
  .meta({ description: 'Tags of all its calls, by name; what a client says of these names does not count' });

/** A tag in a query: `project=alpha`. */
export const tagText = z
  .string()
  .max(64 + 1 + TAG_VALUE_CHARACTERS_MAX)
  .refine(isTagText, 'must be a tag as name=value')
  .meta({ description: 'Of calls with this tag: name=value', example: 'project=alpha' });

function isTagText(text: string): boolean {
  const { name, value } = parseTag(text);
  return TAG_NAME.test(name) && value !== null && isTagValue(value);
}

/** Calls with a tag, as the subject of a limit. */
export const tagSubject = z.strictObject({
  type: z.literal('tag'),
  name: tagName,
  value: tagValue.nullable().optional().meta({
    description: 'Missing or null: each value, counted apart, of each team for itself',
  }),
  team_id: teamId.nullable().optional().meta({
    description: 'Calls of this team alone; missing or null: of all teams, a value that is named together',
  }),
});

/** The calls of all keys of a member, as the subject of a limit. */
export const memberSubject = z.strictObject({
  type: z.literal('member'),
  id: tagValue.nullable().optional().meta({
    description:
      'As `member` of the keys says; missing or null: each member, counted apart, of each team for itself',
  }),
  team_id: teamId.nullable().optional().meta({
    description: 'Keys of this team alone; missing or null: of all teams, a member that is named together',
  }),
});

/** To whom a key belongs. */
export const keyMember = tagValue.nullable().meta({
  description:
    "The member of its team to whom the key belongs, by any id of one's own: limits count all keys of a member. Null: nobody",
  example: 'ada@example.com',
});

const sources = z.array(z.enum(TAG_SOURCES)).min(1);
const shownFields = {
  values: z.array(z.string()).nullable(),
  pattern: z.string().nullable(),
  sources: z.array(z.enum(TAG_SOURCES)),
  required: z.boolean(),
  on_unknown: z.enum(ON_UNKNOWN_TAG),
  max_values: z.int(),
  idle_days: z.int(),
};
export const Tag = z
  .strictObject({
    name: z.string(),
    ...shownFields,
    open_values: tokenCount.meta({
      description: 'Values that no list names and that are open, of the team that has most of them',
    }),
    created_at: instant,
  })
  .meta({ id: 'Tag' });
export const Tags = page(Tag);

const fields = {
  values: z.array(tagValue).min(1).max(TAG_VALUES_LISTED_MAX).nullable().meta({
    description: 'The values that there are. Null: any that fits the pattern',
  }),
  pattern: z.string().min(1).max(TAG_VALUE_CHARACTERS_MAX).nullable().meta({
    description: 'What a value looks like, where there is no list: * stands for any text. Null: any value',
    example: 'run-*',
  }),
  sources: sources.meta({
    description:
      'Where it may come from: the key (which wins), the header x-tollgate-tags, or `metadata` of the body, which goes upstream all the same',
  }),
  required: z.boolean().meta({ description: 'A call that costs money is refused without it' }),
  on_unknown: z.enum(ON_UNKNOWN_TAG).meta({
    description: `What becomes of a client's value that is not allowed: refuse (400) or ignore. Of the name "${ANY_TAG}": of all names that have no rule`,
  }),
  max_values: z.int().min(1).max(TAG_VALUES_OPEN_MAX).meta({
    description:
      'Without a list: how many values a team may have open, and a limit of each value may count of a team',
  }),
  idle_days: z.int().min(1).max(3_650).meta({
    description: 'After so many days without a call a value is closed; its sums stay',
  }),
};
const DEFAULTS = {
  values: null,
  pattern: null,
  sources: ['key', 'header'] as ('key' | 'header')[],
  required: false,
  on_unknown: 'refuse',
  max_values: 10_000,
  idle_days: 30,
} as const;

export const NewTag = z
  .strictObject({
    name: z.union([z.literal(ANY_TAG), tagName]),
    values: fields.values.default(DEFAULTS.values),
    pattern: fields.pattern.default(DEFAULTS.pattern),
    sources: fields.sources.default(DEFAULTS.sources),
    required: fields.required.default(DEFAULTS.required),
    on_unknown: fields.on_unknown.default(DEFAULTS.on_unknown),
    max_values: fields.max_values.default(DEFAULTS.max_values),
    idle_days: fields.idle_days.default(DEFAULTS.idle_days),
  })
  .meta({ id: 'NewTag' });
export const TagChange = z
  .strictObject(fields)
  .partial()
  .refine((body) => Object.keys(body).length > 0, 'must change at least one field')
  .meta({ id: 'TagChange' });
