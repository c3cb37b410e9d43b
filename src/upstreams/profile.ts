/**
 * Profiles: how an upstream may differ from OpenAI's rules. Owns: which names carry an output limit, which fields of a
 * request are known not to move its cost, how long an output can be at most, how its text is counted. Does not own:
 * whether it keeps a limit (trust.ts).
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { ClientGone, LimitFields, ProfileName } from '../domain/upstream.ts';
import type { Descriptor } from '../openai/operations/descriptor.ts';
import type { TextRule } from '../openai/usage/count.ts';

export interface UpstreamProfile {
  readonly name: ProfileName;
  /** Null: the name that OpenAI's API has. */
  readonly limitFields: LimitFields | null;
  /** Fields that pass beside those of the API, by the administrator; null: all do. */
  readonly extraFields: ReadonlySet<string> | null;
  /** The most tokens that the server can write in one choice, by its administrator; null: not known. */
  readonly maxOutputTokens: number | null;
  /** How the text of a response is counted; null: its deltas alone are. */
  readonly text: TextRule | null;
  /** What becomes of a call whose client has left, unless its team says otherwise. */
  readonly onClientGone: ClientGone;
}

/** OpenAI's own rules. */
export function openaiProfile(onClientGone: ClientGone | null): UpstreamProfile {
  return {
    name: 'openai',
    limitFields: null,
    extraFields: null,
    maxOutputTokens: null,
    text: null,
    onClientGone: onClientGone ?? 'finish',
  };
}

export interface CompatibleOptions {
  limitFields: LimitFields;
  extraFields: readonly string[];
  maxOutputTokens: number | null;
  countTokens: TextRule['countTokens'];
  onClientGone: ClientGone | null;
}

/** A server that speaks the API and may follow other rules. */
export function compatibleProfile(options: CompatibleOptions): UpstreamProfile {
  return {
    name: 'compatible',
    limitFields: options.limitFields,
    extraFields: new Set(options.extraFields),
    maxOutputTokens: options.maxOutputTokens,
    text: { countTokens: options.countTokens },
    onClientGone: options.onClientGone ?? 'cancel',
  };
}

/**
 * Fields that llama-server, vLLM, Ollama, llama-cpp-python or transformers document beside OpenAI's: they choose tokens
 * or shape the response, and neither let more be written nor more be read. Left out on purpose are other names of a limit
 * (see {@link OTHER_LIMITS}), what writes several outputs (`use_beam_search`, `n_cmpl`), what makes a prompt longer than its
 * bytes (`chat_template`, `mm_processor_kwargs`), and what hides usage (`response_fields`).
 */
const SERVER_FIELDS: ReadonlySet<string> = new Set([
  ...['top_k', 'min_p', 'typical_p', 'top_n_sigma', 'repeat_penalty', 'repeat_last_n', 'repetition_penalty'],
  ...[
    'length_penalty',
    'dynatemp_range',
    'dynatemp_exponent',
    'dry_multiplier',
    'dry_base',
    'dry_allowed_length',
  ],
  ...[
    'dry_penalty_last_n',
    'dry_sequence_breakers',
    'xtc_probability',
    'xtc_threshold',
    'mirostat',
    'mirostat_mode',
  ],
  ...[
    'mirostat_tau',
    'mirostat_eta',
    'samplers',
    'n_probs',
    'min_keep',
    'min_tokens',
    'ignore_eos',
    'bad_words',
  ],
  ...['stop_token_ids', 'allowed_token_ids', 'logit_bias_type', 't_max_predict_ms', 'grammar', 'json_schema'],
  ...['guided_json', 'guided_regex', 'guided_choice', 'guided_grammar', 'guided_decoding_backend'],
  ...['guided_whitespace_pattern', 'structured_outputs', 'structural_tag', 'skip_special_tokens'],
  ...['spaces_between_special_tokens', 'include_stop_str_in_output', 'return_tokens', 'return_token_ids'],
  ...[
    'return_tokens_as_token_ids',
    'prompt_logprobs',
    'post_sampling_probs',
    'timings_per_token',
    'return_progress',
  ],
  ...[
    'include_reasoning',
    'reasoning_format',
    'thinking_forced_open',
    'parse_tool_calls',
    'chat_template_kwargs',
  ],
  ...['add_generation_prompt', 'continue_final_message', 'add_special_tokens', 'enable_thinking', 'think'],
  ...['reasoning_effort', 'keep_alive', 'cache_prompt', 'cache_salt', 'id_slot', 'priority', 'request_id'],
  ...['truncate_prompt_tokens'],
]);

/** Names under which a server may read an output limit that Tollgate does not; no administrator can let them pass. */
const OTHER_LIMITS: ReadonlySet<string> = new Set([
  ...[
    'n_predict',
    'num_predict',
    'max_new_tokens',
    'max_length',
    'generation_config',
    'options',
    'n_ctx',
    'num_ctx',
  ],
]);

/**
 * Returns the error of a field that may move the call's cost on this upstream; null: there is none.
 * @param names of the request's members that are not null
 */
export function unknownField(
  { extraFields }: UpstreamProfile,
  { fields: known }: Descriptor,
  names: readonly string[],
): ApiError | null {
  if (extraFields === null || known === null) return null;
  for (const field of names) {
    if (known.includes(field) || SERVER_FIELDS.has(field)) continue;
    const isOtherLimit = OTHER_LIMITS.has(field);
    if (extraFields.has(field) && !isOtherLimit) continue;
    const what = JSON.stringify(field.slice(0, 100));
    const why = isOtherLimit
      ? `${what} may set another output limit than the one that is held. Remove it.`
      : `${what} is not known to leave the cost alone on this upstream. Remove it, or have an administrator add it to TOLLGATE_UPSTREAM_FIELDS.`;
    return apiError('unbounded_request', why, { param: field.slice(0, 100) });
  }
  return null;
}
