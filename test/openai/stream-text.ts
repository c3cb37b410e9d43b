/** Streams as bytes, made together with what a client must see of them. For property tests. */
import fc from 'fast-check';

export interface StreamText {
  /** What the upstream sends when usage was asked for. */
  upstream: string;
  /** What the client gets that did not ask. */
  client: string;
  promptTokens: number;
}

const trickyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    'usage',
    '"usage":null',
    ',"usage": null}',
    'data: [DONE]',
    '[DONE]',
    '\n\ndata: {"usage":{}}',
  ),
  fc.constantFrom(
    '"error"',
    '{"error":{}}',
    '\\"usage\\":null',
    'response.completed',
    '"response.completed"',
    '"usage',
  ),
);

/** An event of one chunk; `usage` stands among its members at any place, with the blanks of some JSON writer. */
const textChunk = fc
  .record({
    text: trickyText,
    at: fc.nat(4),
    comma: fc.constantFrom(',', ', '),
    colon: fc.constantFrom(':', ': ', ' : '),
    nested: fc.constantFrom('', ',"x":{"usage":null}', ',"x":[{"y":"z","usage":null}]'),
  })
  .map(({ text, at, comma, colon, nested }) => {
    const choices = `"choices":[{"delta":{"content":${JSON.stringify(text)}${nested}},"index":0}]`;
    const members = ['"id":"c"', '"model":"gpt-4o-mini"', choices, `"obfuscation":${JSON.stringify(text)}`];
    const withUsage = members.toSpliced(at, 0, `"usage"${colon}null`);
    return [`data: {${withUsage.join(comma)}}`, `data: {${members.join(comma)}}`] as const;
  });

const comment = fc.constantFrom(': keep-alive', 'event: x\nid: 1').map((text) => [text, text] as const);

export const chatStream: fc.Arbitrary<StreamText> = fc
  .record({
    events: fc.array(fc.oneof({ weight: 5, arbitrary: textChunk }, comment), { maxLength: 8 }),
    promptTokens: fc.nat(100_000),
    newline: fc.constantFrom('\n', '\r\n'),
    space: fc.constantFrom('', ' '),
  })
  .map(({ events, promptTokens, newline, space }) => {
    const usage = `{"prompt_tokens":${promptTokens},${space}"completion_tokens":5,"total_tokens":0}`;
    const last = `data: {"model":"gpt-4o-mini-x","service_tier":"default","choices":[${space}],"usage":${space}${usage}}`;
    const write = (texts: string[]) => texts.map((text) => `${text}\n\n`.replaceAll('\n', newline)).join('');
    return {
      upstream: write([...events.map(([upstream]) => upstream), last, 'data: [DONE]']),
      client: write([...events.map(([, client]) => client), 'data: [DONE]']),
      promptTokens,
    };
  });

/** Cuts bytes anywhere: `points` are taken modulo the length. */
export function chunksOf(text: string, points: number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const cuts = [...new Set(points.map((point) => point % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...cuts].map((start, index) => bytes.subarray(start, cuts[index] ?? bytes.length));
}
