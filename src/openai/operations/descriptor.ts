/**
 * What Tollgate knows of one operation of the API, as data. A family of operations is a file of descriptors beside this
 * one; the table of all (table.ts) makes the router, the names, the metric labels and docs/COVERAGE.md from them.
 * Nothing else in `src/` asks which operation a call is: what differs between two operations is a field here.
 */
import type { JobKind, JobRequest } from '../../domain/job.ts';
import type { RecordedKind } from '../../domain/objects.ts';
import type { Bounds, Fields, JsonObject, OutputLimitField } from '../body.ts';

/**
 * `metered`: costs money, held before it is sent and settled from its usage. `free`: costs nothing, only its request
 * counts. `job`: held when it is created, settled when it ends. `refused`: never forwarded, with a reason.
 */
export type OperationClass = 'metered' | 'free' | 'job' | 'refused';

export const METHODS = ['GET', 'POST', 'DELETE'] as const;
/** `WEBSOCKET` is a message on an open line: no HTTP request has it, so that none finds such an operation. */
export type Method = (typeof METHODS)[number] | 'WEBSOCKET';

/** What is spoken on a WebSocket. */
export type SocketKind = 'responses' | 'realtime' | 'translation';

/** An object that the upstream makes: its kind, and the member of the response that has its id. */
export interface MadeObject {
  readonly kind: RecordedKind;
  readonly at: 'id' | 'file';
}

/** A list of objects of all teams, of which the client gets its own, by pages of at most `pageMax`. */
export interface OwnList {
  readonly kind: RecordedKind;
  readonly pageMax: number;
  /** What the API lists where the client names no `limit`. */
  readonly pageDefault: number;
}

/** The members of a usage object, by the API's two vocabularies. */
export interface UsageMembers {
  input: string;
  /** Null: the operation has no output. */
  output: string | null;
  inputDetails: string;
  outputDetails: string;
  /** The details tell audio tokens, which have prices of their own; missing: they do not. */
  hasAudio?: true;
}

/** Where the usage of a response stands. */
export interface UsagePlace {
  members: UsageMembers;
  /** What a whole response says that it is, in `object`; missing: it does not say. */
  object?: string;
  /** The member that every whole answer has: without it a response is no answer. */
  answer: 'choices' | 'output' | 'data' | 'text';
  /** The member that holds a piece of the output, in the chunks or events of a stream. */
  piece: 'delta' | 'text';
  /** The response holds long lists of numbers, which are left out when its usage is read. */
  skipsArrays: boolean;
  /**
   * Of a stream: `chunk`, an extra chunk that must be asked for (`stream_options.include_usage`) and is removed where the
   * client did not ask; `terminal_event`, inside the last event; `done_event`, in an event of {@link doneEvent}, one for each
   * answer; `none`: the operation has no stream.
   */
  stream: 'chunk' | 'terminal_event' | 'done_event' | 'none';
  /** The type of the events that end an answer of a `done_event` stream. */
  doneEvent?: string;
  /** How usage of media is reported; missing: the operation is one of text. */
  media?: MediaUsage;
  /** It is what the gateway measured: the upstream reports nothing. */
  isMeasured?: true;
}

/** What usage of audio and images has beside tokens of text. */
export interface MediaUsage {
  /** What all output is where the usage does not say; null: text. */
  readonly output: 'output_audio_tokens' | 'output_image_tokens' | null;
  /** What is billed where no usage is reported: each image of the answer, or its `duration`; null: nothing of it says. */
  readonly unreported: 'images' | 'duration' | null;
}

/** A request for a long output with the least limit that the API accepts. */
export interface LimitProbe {
  /** Output tokens. */
  readonly limit: number;
  /** Without a model. */
  readonly body: JsonObject;
  /** The field that asks for several choices; null: there is always one. */
  readonly choicesField: 'n' | null;
}

/** What a probe asks for: far more than its limit. */
export const LONG_OUTPUT =
  'Count from 1 to 2000 in words, one number a line. Begin at once and leave nothing out.';

/** Fields that several operations have. */
export const SHARED_FIELDS = ['model', 'stream', 'stream_options', 'temperature', 'top_p', 'user'];
/** Those of the operations that sample text, before Responses. */
export const SAMPLING_FIELDS = [
  ...['frequency_penalty', 'logit_bias', 'logprobs', 'max_tokens', 'n', 'presence_penalty', 'seed', 'stop'],
];
/** Those that chat and Responses share. */
export const CONVERSATION_FIELDS = [
  ...['metadata', 'moderation', 'parallel_tool_calls', 'prompt_cache_key', 'prompt_cache_options'],
  ...[
    'prompt_cache_retention',
    'safety_identifier',
    'service_tier',
    'store',
    'tool_choice',
    'tools',
    'top_logprobs',
  ],
];

export interface Descriptor {
  /** Stable name: in events, metrics, logs and the admin API. */
  readonly name: string;
  readonly method: Method;
  /** Below `/v1`; a name in braces stands for one segment. */
  readonly path: string;
  readonly class: OperationClass;
  /** Why it is refused; null: it is not. */
  readonly reason: string | null;
  /**
   * `multipart` is sent on as it comes, unread: nothing in it moves a cost or names an object. Of a `form` its fields do, and the
   * last may come behind its files, so that it is read whole.
   */
  readonly request: 'none' | 'json' | 'multipart' | 'form';
  /** Its request may be JSON instead of a form. */
  readonly takesJson: boolean;
  /** The model that the API documents where a request names none, and which is then written in; null: it needs one. */
  readonly defaultModel: ((json: JsonObject) => string) | null;
  /** The most bytes of a multipart body (the API's own limit, with room for its framing). */
  readonly bodyBytesMax: number;
  /** The name of its price, where it is billed by no model; null: its request names a model. */
  readonly pricedAs: 'container' | 'vector_store' | 'content_provenance_check' | null;
  /** Reads the fields that move the call's cost; null: none does. */
  readonly bound: ((fields: Fields) => Bounds) | null;
  /** Refuses what would cost money of an operation that is free otherwise; null: nothing would. */
  readonly checks: ((fields: Fields) => void) | null;
  /** The API refuses requests whose whole input is above the model's maximum, so that it bounds the input. */
  readonly inputAtMostModelMaximum: boolean;
  /** Null: the response reports no usage. */
  readonly usage: UsagePlace | null;
  /** Its response may be the stream of one that was made before, which costs nothing; null: it may not. */
  readonly replays: UsagePlace | null;
  /** Field into which an output limit can be written; null: the operation has no output. */
  readonly outputLimitField: OutputLimitField;
  /** An older name of that field, which some servers read instead; null: there is none. */
  readonly olderLimitField: 'max_tokens' | null;
  /** The limit that the API documents where a request names none, and which is then written in; null: there is none. */
  readonly defaultOutputTokens: number | null;
  /** The fields that the API documents (specification 2.3.0); null: they are not needed, since none can move a cost. */
  readonly fields: readonly string[] | null;
  /** What finds out whether an upstream keeps an output limit; null: the operation has none. */
  readonly probe: LimitProbe | null;
  /** The request may name a service tier. */
  readonly hasServiceTier: boolean;
  /** Path of the operation that counts the input of this one; null: the API has none. */
  readonly countPath: string | null;
  /** Models that have no price; others without one are not named in the ledger. */
  readonly knownModels: readonly string[];
  /** Objects that are named by the parameters of its path; parameters that name none, or what lies in one of those, are left out. */
  readonly pathObjects: Readonly<Record<string, RecordedKind>>;
  /** Reads what a job is to do, where it makes one; null: it makes none, or the fields say why not. */
  readonly job: ((fields: Fields) => JobRequest | null) | null;
  /** Jobs of this kind stand otherwise after it: they are looked at soon. What `ends` waits for the end of its jobs. */
  readonly movesJob: JobKind | null;
  /** The object that it makes, which is recorded with its team before its id leaves; null: none. */
  readonly makes: MadeObject | null;
  /** It ends the object that its path names last. */
  readonly ends: boolean;
  /** Its body brings `items` to a conversation, which later responses read. */
  readonly addsItems: boolean;
  /** Null: it lists nothing that belongs to teams, or only what lies in an object of its path. */
  readonly lists: OwnList | null;
  /** Parameters of its query that are sent on, others are dropped; null: any plain query on GET. */
  readonly query: readonly string[] | null;
  /** The response is a file: passed on as it comes, however large. */
  readonly isFile: boolean;
  /** The upstream's usage report that covers it; null: none does. */
  readonly report: 'completions' | 'embeddings' | null;
  /** Its response lists models: those that the key may use and pay stay in it. */
  readonly listsModels: boolean;
  /** Any model of text may serve it: a limit may have it called with a cheaper one. */
  readonly takesOtherModels: boolean;
  /** People speak meanwhile: it is refused at once where a limit would have other calls wait. */
  readonly isLive: boolean;
  /** What is spoken on its WebSocket, of which each message that costs money is a call of its own; null: it is a request. */
  readonly socket: SocketKind | null;
  /** OpenTelemetry's `gen_ai.operation.name`; our own name where it has none. */
  readonly otel: string;
}

const DEFAULTS = {
  reason: null,
  request: 'json',
  takesJson: false,
  defaultModel: null,
  pricedAs: null,
  bound: null,
  checks: null,
  inputAtMostModelMaximum: false,
  usage: null,
  replays: null,
  outputLimitField: null,
  olderLimitField: null,
  defaultOutputTokens: null,
  hasServiceTier: false,
  countPath: null,
  knownModels: [],
  fields: null,
  probe: null,
  bodyBytesMax: 0,
  pathObjects: {},
  job: null,
  movesJob: null,
  makes: null,
  ends: false,
  addsItems: false,
  lists: null,
  query: null,
  isFile: false,
  report: null,
  listsModels: false,
  takesOtherModels: false,
  isLive: false,
  socket: null,
} as const;

type Given<Required extends keyof Descriptor> = Pick<Descriptor, Required> & Partial<Descriptor>;

/** An operation that costs money: it has a bound and a place where its usage stands. */
export function metered(given: Given<'name' | 'path' | 'bound' | 'usage' | 'otel'>): Descriptor {
  return { ...DEFAULTS, method: 'POST', class: 'metered', ...given };
}

/** What the parameters of paths name. Items, messages and lines lie in the object that stands before them. */
const PATH_OBJECTS: Readonly<Record<string, RecordedKind>> = {
  response_id: 'response',
  conversation_id: 'conversation',
  completion_id: 'stored_completion',
  file_id: 'file',
  upload_id: 'upload',
  vector_store_id: 'vector_store',
  batch_id: 'file_batch',
  fine_tuning_job_id: 'fine_tuning_job',
  container_id: 'container',
  skill_id: 'skill',
  eval_id: 'eval',
  run_id: 'eval_run',
  consent_id: 'voice_consent',
};

/** An operation that makes what is billed by the time that it lasts. What its path and body name belongs to its team. */
export function lasting(given: Given<'name' | 'path' | 'bound' | 'pricedAs'>): Descriptor {
  const pathObjects = objectsOf(given.path);
  return { ...DEFAULTS, method: 'POST', class: 'metered', otel: given.name, pathObjects, ...given };
}

/** An operation that costs nothing. What its path names belongs to its team. Without a body unless it is a POST. */
export function free(given: Given<'name' | 'method' | 'path'>): Descriptor {
  const request = given.method === 'POST' ? 'json' : 'none';
  const pathObjects = objectsOf(given.path);
  const query = given.method === 'GET' && Object.keys(pathObjects).length > 0 ? [] : null;
  return { ...DEFAULTS, class: 'free', otel: given.name, request, pathObjects, query, ...given };
}

function objectsOf(path: string): Record<string, RecordedKind> {
  const objects: Record<string, RecordedKind> = {};
  for (const [, name = ''] of path.matchAll(/\{(\w+)\}/g)) {
    const kind = PATH_OBJECTS[name];
    if (kind !== undefined) objects[name] = kind;
  }
  return objects;
}

/** An operation that makes work which goes on after its response: held when it is asked for, settled when it ends. */
export function job(given: Given<'name' | 'path' | 'job' | 'makes'>): Descriptor {
  const pathObjects = objectsOf(given.path);
  return { ...DEFAULTS, method: 'POST', class: 'job', otel: given.name, pathObjects, ...given };
}

/**
 * Operations that are never forwarded, for one reason.
 * @param lines `/path/{id} GET POST`, each on its own
 */
export function refused(name: string, reason: string, lines: string): Descriptor[] {
  return lines.split('\n').flatMap((line) => {
    const [path = '', ...methods] = line.trim().split(' ');
    return METHODS.filter((method) => methods.includes(method)).map((method) => ({
      ...DEFAULTS,
      ...{ name, reason, method, path, class: 'refused' as const, otel: name },
    }));
  });
}

/** `prompt_tokens`, `completion_tokens`: the API's older vocabulary (`CompletionUsage` of its published schema). */
export const COMPLETION_USAGE: UsageMembers = {
  input: 'prompt_tokens',
  output: 'completion_tokens',
  inputDetails: 'prompt_tokens_details',
  outputDetails: 'completion_tokens_details',
  hasAudio: true,
};

/** `input_tokens`, `output_tokens`: the newer one (`ResponseUsage`). */
export const RESPONSE_USAGE: UsageMembers = {
  input: 'input_tokens',
  output: 'output_tokens',
  inputDetails: 'input_tokens_details',
  outputDetails: 'output_tokens_details',
};
