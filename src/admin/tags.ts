/** Routes: tags, by which spend is divided beside teams and keys. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, isApiError } from '../domain/errors.ts';
import { allowsValue, MEMBER_TAG, type TagRule, type TagSource } from '../domain/tags.ts';
import type { Database } from '../store/database.ts';
import { changeTag, createTag, deleteTag, findTag, type ListedTag, listTags } from '../store/tags.ts';
import { NewTag, pageQuery, Tag, TagChange, Tags } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { invalid, route } from './route.ts';

export function tagRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Allow a tag: its name, its values, and where it may come from';
  route(
    app,
    { method: 'post', path: '/tags', summary, body: NewTag, response: Tag, status: 201 },
    async ({ body }) => {
      const { name, on_unknown: onUnknown, max_values: maxValues, idle_days: idleDays, ...rule } = body;
      const problem = memberProblem(name, rule.sources);
      if (problem) return problem;
      const tag = await createTag(database, name, { ...rule, onUnknown, maxValues, idleDays });
      return isApiError(tag) ? tag : toTag(tag);
    },
  );
  const shown = async (name: string, row: object | null) => (row === null ? null : findTag(database, name));
  resourceRoutes(app, {
    path: '/tags',
    name: 'tag',
    textId: true,
    item: Tag,
    page: Tags,
    listQuery: pageQuery,
    changeBody: TagChange,
    idOf: (tag: ListedTag) => tag.name,
    view: toTag,
    list: ({ after, limit }, _, teams) => listTags(database, { after, limit }, teams),
    find: (name, teams) => findTag(database, name, teams),
    change: async (name, { on_unknown: onUnknown, max_values: maxValues, idle_days: idleDays, ...change }) =>
      memberProblem(name, change.sources) ??
      shown(name, await changeTag(database, name, { ...change, onUnknown, maxValues, idleDays })),
    remove: async (name) => {
      const tag = await findTag(database, name);
      await deleteTag(database, name);
      return tag;
    },
  });
}

function toTag(tag: ListedTag): z.input<typeof Tag> {
  return {
    name: tag.name,
    values: tag.values,
    pattern: tag.pattern,
    sources: tag.sources,
    required: tag.required,
    on_unknown: tag.onUnknown,
    max_values: tag.maxValues,
    idle_days: tag.idleDays,
    open_values: tag.openValues,
    created_at: instantOf(tag.createdAt),
  };
}

/** To whom a key belongs no client can say: it would spend another member's budget. */
function memberProblem(name: string, sources: readonly TagSource[] | undefined): ApiError | null {
  if (name !== MEMBER_TAG || sources === undefined || sources.every((source) => source === 'key'))
    return null;
  return invalid(
    'sources',
    `the tag ${MEMBER_TAG} says to whom a key belongs, so it comes from the key alone: ["key"]`,
  );
}

/** Returns why a key may not have these tags; null: it may. Names without a rule are the admin's own. */
export async function keyTagsProblem(
  database: Database,
  tags: Readonly<Record<string, string>> | null | undefined,
): Promise<ApiError | null> {
  for (const [name, value] of Object.entries(tags ?? {})) {
    const rule = await findTag(database, name);
    if (rule === null) continue;
    const { sources, values, pattern }: Pick<TagRule, 'sources' | 'values' | 'pattern'> = rule;
    const param = `tags.${name}`;
    if (!sources.includes('key')) return invalid(param, `the tag ${name} may not come from a key`);
    if (!allowsValue({ values, pattern }, value)) {
      const would = values === null ? `like ${pattern}` : `one of ${values.slice(0, 20).join(', ')}`;
      return invalid(param, `must be ${would}`);
    }
  }
  return null;
}
