/** Chat completions and legacy completions on the wire: one JSON object, or a stream of chunks. */
import type { JsonObject } from './fields.ts';
import {
  type Choice,
  completionUsage,
  DONE_EVENT,
  dataEvent,
  FAILED_MESSAGE,
  type Output,
  saysUsage,
  type WrittenCall,
} from './output.ts';

const FINGERPRINT = 'fp_7e1f6e5c1d';
/** Real streams pad their chunks so that their sizes do not betray the words. */
const OBFUSCATION = 'KbQzJ8wRfT2m';

function finishReason(choice: Choice): string {
  const [call] = choice.calls;
  if (choice.candidate.cut) return 'length';
  return call === undefined ? 'stop' : call.tool.kind === 'legacy' ? 'function_call' : 'tool_calls';
}

/** The message of a choice, whole. */
function message({ pieces, calls }: Choice, speaks: boolean): object {
  const content = calls.length === 0 ? pieces.join('') : null;
  const base = { role: 'assistant', content, refusal: null, annotations: [] };
  if (speaks && content !== null)
    return {
      ...base,
      content: null,
      audio: { id: 'audio_1', data: 'AAAA', expires_at: 1, transcript: content },
    };
  const [first] = calls;
  if (first === undefined) return base;
  if (first.tool.kind === 'legacy') return { ...base, function_call: calledBy(first) };
  return { ...base, tool_calls: calls.map((call) => toolCall(call)) };
}

/** What a call says of its tool: all of its arguments, or what a delta has of them. */
function calledBy({ tool, pieces }: WrittenCall, text = pieces.join('')): JsonObject {
  return { name: tool.name, [tool.kind === 'custom' ? 'input' : 'arguments']: text };
}

function toolCall(call: WrittenCall, text?: string): JsonObject {
  const type = call.tool.kind === 'custom' ? 'custom' : 'function';
  return { id: `call_${call.id}`, type, [type]: calledBy(call, text) };
}

/** The deltas of a choice: the role, then a text, or calls whose first delta bears the name. `isText`: it is of the output. */
function deltas({ pieces, calls }: Choice): { delta: object; isText: boolean }[] {
  const [first] = calls;
  const role = { role: 'assistant', content: first === undefined ? '' : null, refusal: null };
  const begun = { delta: role, isText: false };
  if (first === undefined) return [begun, ...pieces.map((content) => ({ delta: { content }, isText: true }))];
  if (first.tool.kind === 'legacy') {
    const parts = first.pieces.map((text) => ({
      delta: { function_call: { arguments: text } },
      isText: true,
    }));
    return [{ delta: { ...role, function_call: calledBy(first, '') }, isText: false }, ...parts];
  }
  const ofCalls = calls.flatMap((call, index) => [
    { delta: { tool_calls: [{ index, ...toolCall(call, '') }] }, isText: false },
    ...call.pieces.map((text) => {
      const part =
        call.tool.kind === 'custom' ? { custom: { input: text } } : { function: { arguments: text } };
      return { delta: { tool_calls: [{ index, ...part }] }, isText: true };
    }),
  ]);
  return [begun, ...ofCalls];
}

export function chatJson(output: Output): string {
  const { call, plan } = output;
  return JSON.stringify(
    {
      id: `chatcmpl-${output.id}`,
      object: 'chat.completion',
      created: output.created,
      model: call.servedName,
      choices: output.choices.map((choice) => ({
        index: choice.index,
        message: message(choice, call.speaks),
        logprobs: null,
        finish_reason: finishReason(choice),
      })),
      usage: saysUsage(output) ? completionUsage(output) : undefined,
      service_tier: plan.tier,
      system_fingerprint: FINGERPRINT,
    },
    null,
    2,
  );
}

/** The JSON of a 200 that failed, or the event that ends its stream. */
export function chatFailure(eventsBefore: number | null): string {
  const error = { message: FAILED_MESSAGE, type: 'server_error', param: null, code: null };
  const json = JSON.stringify({ error });
  return eventsBefore === null ? json : dataEvent(json);
}

/** The chunks of a chat stream. `usage: null` and the usage chunk appear only if the client asked for them. */
export function chatEvents(output: Output): string[] {
  const { call, plan } = output;
  const head = `{"id":"chatcmpl-${output.id}","object":"chat.completion.chunk","created":${output.created},"model":${JSON.stringify(call.servedName)},"service_tier":"${plan.tier}","system_fingerprint":"${FINGERPRINT}","choices":[`;
  const nullUsage = call.includeUsage ? ',"usage":null' : '';
  const options = call.body.stream_options;
  const obfuscated = !(
    options instanceof Object &&
    'include_obfuscation' in options &&
    !options.include_obfuscation
  );
  const events: string[] = [];
  const running = runningUsage(output);
  const add = (index: number, delta: string, finish: string, isText = false): void => {
    const padding = obfuscated ? `,"obfuscation":"${OBFUSCATION.slice(events.length % 8)}"` : '';
    const choice = `{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":${finish}}`;
    events.push(dataEvent(`${head}${choice}]${running(isText) ?? nullUsage}${padding}}`));
  };
  // The roles of all choices stand before their texts.
  interleave(output.choices.map(deltas), (index, { delta, isText }) =>
    add(index, JSON.stringify(delta), 'null', isText),
  );
  for (const choice of output.choices) add(choice.index, '{}', `"${finishReason(choice)}"`);
  return ended(output, events, dataEvent(`${head}],"usage":${JSON.stringify(completionUsage(output))}}`));
}

/**
 * The usage member of each event where it grows with the output; null where that event has none of its own. Of hidden
 * reasoning it tells from the first event on.
 */
function runningUsage(output: Output): (isText: boolean) => string | null {
  const { usageReports, call, plan, choices } = output;
  if (usageReports !== 'every_chunk' && usageReports !== 'partly') return () => null;
  const textEvents = choices
    .flatMap(({ pieces, calls }) => [pieces, ...calls.map((call) => call.pieces)])
    .reduce((sum, pieces) => sum + pieces.length, 0);
  const hidden = plan.usage.reasoning_tokens;
  const visible = plan.usage.output_tokens - hidden;
  let written = 0;
  return (isText) => {
    if (isText) written++;
    if (!call.includeUsage || (usageReports === 'partly' && written > textEvents / 2)) return null;
    const tokens = written === 0 ? 0 : hidden + Math.ceil((visible * written) / Math.max(1, textEvents));
    return `,"usage":${JSON.stringify(completionUsage(output, tokens))}`;
  };
}

/** The end of a stream of chunks, with its usage chunk as often and as early as it is reported. */
function ended(output: Output, events: string[], usage: string): string[] {
  const { call, usageReports } = output;
  const isWanted = call.includeUsage && saysUsage(output) && usageReports !== 'partly';
  if (isWanted && usageReports !== 'late') events.push(usage);
  if (isWanted && usageReports === 'twice') events.push(usage);
  events.push(DONE_EVENT);
  if (isWanted && usageReports === 'late') events.push(usage);
  return events;
}

export function completionJson(output: Output): string {
  return JSON.stringify(
    {
      id: `cmpl-${output.id}`,
      object: 'text_completion',
      created: output.created,
      model: output.call.servedName,
      choices: output.choices.map((choice) => ({
        text: choice.pieces.join(''),
        index: choice.index,
        logprobs: null,
        finish_reason: finishReason(choice),
      })),
      usage: saysUsage(output) ? completionUsage(output) : undefined,
    },
    null,
    2,
  );
}

export function completionEvents(output: Output): string[] {
  const { call } = output;
  const head = `{"id":"cmpl-${output.id}","object":"text_completion","created":${output.created},"choices":[`;
  const model = `],"model":${JSON.stringify(call.servedName)}`;
  const nullUsage = call.includeUsage ? ',"usage":null' : '';
  const events: string[] = [];
  const running = runningUsage(output);
  const add = (index: number, text: string, finish: string, isText = false): void => {
    const choice = `{"text":${JSON.stringify(text)},"index":${index},"logprobs":null,"finish_reason":${finish}}`;
    events.push(dataEvent(`${head}${choice}${model}${running(isText) ?? nullUsage}}`));
  };
  interleave(
    output.choices.map(({ pieces }) => pieces),
    (index, piece) => add(index, piece, 'null', true),
  );
  for (const choice of output.choices) add(choice.index, '', `"${finishReason(choice)}"`);
  const usage = JSON.stringify(completionUsage(output));
  return ended(output, events, dataEvent(`${head}${model},"usage":${usage}}`));
}

/** Parallel choices of one request arrive mixed. */
function interleave<Item>(lists: Item[][], add: (index: number, item: Item) => void): void {
  for (let round = 0; lists.some((list) => round < list.length); round++) {
    for (const [index, list] of lists.entries()) {
      const next = list[round];
      if (next !== undefined) add(index, next);
    }
  }
}
