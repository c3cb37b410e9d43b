/**
 * What a gateway's admin API offers, read from its own OpenAPI document: the nouns, what can be done with each, and the
 * fields of it. So the command line has what that gateway has, whatever its version. Owns: from paths to commands.
 */
import { z } from 'zod';

/** The part of JSON Schema that the document uses. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  description?: string;
  example?: unknown;
  format?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

export interface Field {
  /** As the API names it. */
  name: string;
  in: 'query' | 'body';
  schema: Schema;
  required: boolean;
}

/** One request of the admin API as a command: `limits create`, `teams balance ID`. */
export interface Action {
  noun: string;
  verb: string;
  method: string;
  /** Below the gateway's URL; with `{name}` where an id stands. */
  path: string;
  takesId: boolean;
  summary: string;
  fields: Field[];
  /** What it returns; null: no JSON. */
  reply: Schema | null;
  /** `text/csv` and the like of a download. */
  downloads: string[];
}

export interface Api {
  actions: Action[];
  schemas: Record<string, Schema>;
}

const AnySchema = z.custom<Schema>((value) => typeof value === 'object' && value !== null);
const Content = z.record(z.string(), z.looseObject({ schema: AnySchema.optional() }));
const Operation = z.looseObject({
  summary: z.string().default(''),
  parameters: z
    .array(
      z.looseObject({
        name: z.string(),
        in: z.string(),
        required: z.boolean().default(false),
        schema: AnySchema,
      }),
    )
    .default([]),
  requestBody: z.looseObject({ content: Content }).optional(),
  responses: z.record(z.string(), z.looseObject({ content: Content.optional() })),
});
const Document = z.looseObject({
  paths: z.record(z.string(), z.record(z.string(), Operation)),
  components: z.looseObject({ schemas: z.record(z.string(), AnySchema).default({}) }),
});

const ROOT = '/admin/v1/';
const VERBS: Record<string, string> = { get: 'list', post: 'create', patch: 'change', delete: 'delete' };

/** @throws ZodError when it is no such document */
export function readDocument(json: unknown): Api {
  const { paths, components } = Document.parse(json);
  const schemas = components.schemas;
  const actions = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      path.startsWith(ROOT) ? [readAction(path, method, operation, schemas)] : [],
    ),
  );
  return { actions: distinct(actions), schemas };
}

/** Where GET and POST of one path have the same word, the change gets a verb before it: `create-raises`. */
function distinct(actions: readonly Action[]): Action[] {
  const isShown = (other: Action) =>
    actions.some(({ method, path }) => method === 'GET' && path === other.path);
  return actions.map((action) =>
    action.method === 'POST' && action.verb !== 'create' && isShown(action)
      ? { ...action, verb: `create-${action.verb}` }
      : action,
  );
}

function readAction(
  path: string,
  method: string,
  operation: z.output<typeof Operation>,
  schemas: Record<string, Schema>,
): Action {
  const [noun = '', ...rest] = path.slice(ROOT.length).split('/');
  const words = rest.filter((word) => !word.startsWith('{'));
  const takesId = words.length < rest.length;
  const own = takesId && method === 'get' ? 'show' : (VERBS[method] ?? method);
  // PATCH or DELETE of something below a noun, as of a limit's raise, keep their own verb beside its word.
  const verb = words.length === 0 ? own : [...(isPlain(method) ? [] : [own]), ...words].join('-');
  const bodySchema = jsonOf(operation.requestBody?.content);
  const body = bodySchema === null ? null : resolved(bodySchema, schemas);
  const done = Object.entries(operation.responses).find(([status]) => status.startsWith('2'))?.[1];
  return {
    noun,
    verb,
    method: method.toUpperCase(),
    path,
    takesId,
    summary: operation.summary,
    fields: [
      ...operation.parameters
        .filter((parameter) => parameter.in === 'query')
        .map(({ name, schema, required }) => ({ name, in: 'query' as const, schema, required })),
      ...Object.entries(body?.properties ?? {}).map(([name, schema]) => ({
        name,
        in: 'body' as const,
        schema,
        required: body?.required?.includes(name) ?? false,
      })),
    ],
    reply: jsonOf(done?.content),
    downloads: Object.keys(done?.content ?? {}).filter((type) => type !== 'application/json'),
  };
}

export function actionOf({ actions }: Api, noun: string, verb: string): Action | undefined {
  return actions.find((action) => action.noun === noun && action.verb === verb);
}

function isPlain(method: string): boolean {
  return method === 'get' || method === 'post';
}

function jsonOf(content: z.output<typeof Content> | undefined): Schema | null {
  return content?.['application/json']?.schema ?? null;
}

/** Returns the schema that a reference names, with what stands beside the reference. */
export function resolved(schema: Schema, schemas: Record<string, Schema>): Schema {
  if (schema.allOf?.length === 1 && schema.allOf[0])
    return { ...resolved(schema.allOf[0], schemas), ...without(schema, 'allOf') };
  if (schema.$ref === undefined) return schema;
  const target = schemas[schema.$ref.split('/').at(-1) ?? ''];
  return target === undefined ? schema : { ...resolved(target, schemas), ...without(schema, '$ref') };
}

/** Whether a request without the field is refused. */
export function isNeeded({ schema, required }: Field, schemas: Record<string, Schema>): boolean {
  return required && resolved(schema, schemas).default === undefined;
}

function without(schema: Schema, name: 'allOf' | '$ref'): Schema {
  const { [name]: _, ...rest } = schema;
  return rest;
}

/** Returns the alternatives of a schema, without null; a plain schema is the only one of itself. */
export function alternatives(schema: Schema, schemas: Record<string, Schema>): Schema[] {
  const whole = resolved(schema, schemas);
  const parts = whole.anyOf ?? whole.oneOf;
  if (parts === undefined) {
    const [type, ...others] = [whole.type ?? []].flat().filter((each) => each !== 'null');
    return type === undefined || others.length > 0 ? [whole] : [{ ...whole, type }];
  }
  return parts.flatMap((part) => alternatives(part, schemas)).filter((part) => part.type !== 'null');
}

/** Returns by its `type` each alternative that has one of its own: of a subject, or a window. */
export function kindsOf(choices: readonly Schema[], schemas: Record<string, Schema>): Map<string, Schema> {
  return new Map(
    choices.flatMap((choice) => {
      const { const: only, enum: all } = resolved(choice.properties?.type ?? {}, schemas);
      const name = only ?? (all?.length === 1 ? all[0] : undefined);
      return typeof name === 'string' ? [[name, choice] as const] : [];
    }),
  );
}

/** Returns where the roles of a list hold; undefined: its items are no roles. */
export function roleScopeOf(choices: readonly Schema[]): Schema | undefined {
  return choices.find(({ properties }) => properties?.role && properties.scope)?.properties?.scope;
}

export function isNullable(schema: Schema, schemas: Record<string, Schema>): boolean {
  const whole = resolved(schema, schemas);
  if (Array.isArray(whole.type)) return whole.type.includes('null');
  if (whole.type === 'null') return true;
  return (whole.anyOf ?? whole.oneOf ?? []).some((part) => isNullable(part, schemas));
}

/** Returns the schema of the items of a list, or of what is returned itself. */
export function itemSchema(reply: Schema, schemas: Record<string, Schema>): Schema {
  const whole = resolved(reply, schemas);
  const data = whole.properties?.data;
  const items = data && resolved(data, schemas).items;
  return items ? resolved(items, schemas) : whole;
}
