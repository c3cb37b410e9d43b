/** Chat completions and legacy completions on the wire: one JSON object, or a stream of chunks. */
import { type Answer, type Choice, completionUsage, DONE_EVENT, dataEvent } from './answer.ts';

const FINGERPRINT = 'fp_7e1f6e5c1d';
/** Real streams pad their chunks so that their sizes do not betray the words. */
const OBFUSCATION = 'KbQzJ8wRfT2m';

function finishReason(choice: Choice): string {
  return choice.candidate.cut ? 'length' : 'stop';
}

export function chatJson(answer: Answer): string {
  const { call, plan } = answer;
  return JSON.stringify(
    {
      id: `chatcmpl-${answer.id}`,
      object: 'chat.completion',
      created: answer.created,
      model: call.servedName,
      choices: answer.choices.map((choice) => ({
        index: choice.index,
        message: { role: 'assistant', content: choice.pieces.join(''), refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: finishReason(choice),
      })),
      usage: answer.withUsage ? completionUsage(answer) : undefined,
      service_tier: plan.tier,
      system_fingerprint: FINGERPRINT,
    },
    null,
    2,
  );
}

/** The chunks of a chat stream. `usage: null` and the usage chunk appear only if the client asked for them. */
export function chatEvents(answer: Answer): string[] {
  const { call, plan } = answer;
  const head = `{"id":"chatcmpl-${answer.id}","object":"chat.completion.chunk","created":${answer.created},"model":${JSON.stringify(call.servedName)},"service_tier":"${plan.tier}","system_fingerprint":"${FINGERPRINT}","choices":[`;
  const nullUsage = call.includeUsage ? ',"usage":null' : '';
  const options = call.body.stream_options;
  const obfuscated = !(
    options instanceof Object &&
    'include_obfuscation' in options &&
    !options.include_obfuscation
  );
  const events: string[] = [];
  const add = (index: number, delta: string, finish: string): void => {
    const padding = obfuscated ? `,"obfuscation":"${OBFUSCATION.slice(events.length % 8)}"` : '';
    const choice = `{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":${finish}}`;
    events.push(dataEvent(`${head}${choice}]${nullUsage}${padding}}`));
  };
  for (const { index } of answer.choices)
    add(index, '{"role":"assistant","content":"","refusal":null}', 'null');
  interleave(answer.choices, (index, piece) => add(index, `{"content":${JSON.stringify(piece)}}`, 'null'));
  for (const choice of answer.choices) add(choice.index, '{}', `"${finishReason(choice)}"`);
  if (call.includeUsage && answer.withUsage) {
    events.push(dataEvent(`${head}],"usage":${JSON.stringify(completionUsage(answer))}}`));
  }
  events.push(DONE_EVENT);
  return events;
}

export function completionJson(answer: Answer): string {
  return JSON.stringify(
    {
      id: `cmpl-${answer.id}`,
      object: 'text_completion',
      created: answer.created,
      model: answer.call.servedName,
      choices: answer.choices.map((choice) => ({
        text: choice.pieces.join(''),
        index: choice.index,
        logprobs: null,
        finish_reason: finishReason(choice),
      })),
      usage: answer.withUsage ? completionUsage(answer) : undefined,
    },
    null,
    2,
  );
}

export function completionEvents(answer: Answer): string[] {
  const { call } = answer;
  const head = `{"id":"cmpl-${answer.id}","object":"text_completion","created":${answer.created},"choices":[`;
  const model = `],"model":${JSON.stringify(call.servedName)}`;
  const nullUsage = call.includeUsage ? ',"usage":null' : '';
  const events: string[] = [];
  const add = (index: number, text: string, finish: string): void => {
    const choice = `{"text":${JSON.stringify(text)},"index":${index},"logprobs":null,"finish_reason":${finish}}`;
    events.push(dataEvent(`${head}${choice}${model}${nullUsage}}`));
  };
  interleave(answer.choices, (index, piece) => add(index, piece, 'null'));
  for (const choice of answer.choices) add(choice.index, '', `"${finishReason(choice)}"`);
  if (call.includeUsage && answer.withUsage) {
    events.push(dataEvent(`${head}${model},"usage":${JSON.stringify(completionUsage(answer))}}`));
  }
  events.push(DONE_EVENT);
  return events;
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
