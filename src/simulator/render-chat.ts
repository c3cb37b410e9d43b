/** Chat completions and legacy completions on the wire: one JSON object, or a stream of chunks. */
import { type Choice, completionUsage, DONE_EVENT, dataEvent, type Output, saysUsage } from './output.ts';

const FINGERPRINT = 'fp_7e1f6e5c1d';
/** Real streams pad their chunks so that their sizes do not betray the words. */
const OBFUSCATION = 'KbQzJ8wRfT2m';

function finishReason(choice: Choice): string {
  return choice.candidate.cut ? 'length' : 'stop';
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
        message: { role: 'assistant', content: choice.pieces.join(''), refusal: null, annotations: [] },
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
  for (const { index } of output.choices)
    add(index, '{"role":"assistant","content":"","refusal":null}', 'null');
  interleave(output.choices, (index, piece) =>
    add(index, `{"content":${JSON.stringify(piece)}}`, 'null', true),
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
  const textEvents = choices.reduce((sum, { pieces }) => sum + pieces.length, 0);
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
  interleave(output.choices, (index, piece) => add(index, piece, 'null', true));
  for (const choice of output.choices) add(choice.index, '', `"${finishReason(choice)}"`);
  const usage = JSON.stringify(completionUsage(output));
  return ended(output, events, dataEvent(`${head}${model},"usage":${usage}}`));
}

/** Parallel choices of one request arrive mixed. */
function interleave(choices: Choice[], add: (index: number, piece: string) => void): void {
  const longest = choices.reduce((most, { pieces }) => Math.max(most, pieces.length), 0);
  for (let position = 0; position < longest; position++) {
    for (const { index, pieces } of choices) {
      const piece = pieces[position];
      if (piece !== undefined) add(index, piece);
    }
  }
}
