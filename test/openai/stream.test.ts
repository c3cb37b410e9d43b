import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OutputCounter } from '../../src/openai/usage/count.ts';
import { StreamMeter } from '../../src/openai/usage/stream.ts';
import { usagePlace } from './read.ts';
import { chatStream, chunksOf } from './stream-text.ts';

const NONE = { usage: null, usageAtLeast: null };
const points = fc.array(fc.nat(), { maxLength: 30 });

function run(name: string, stripUsage: boolean, chunks: Buffer[]) {
  const meter = new StreamMeter(usagePlace(name), { stripUsage, choices: 1 });
  const passed = chunks.map((chunk) => meter.push(chunk));
  return { meter, client: Buffer.concat([...passed, meter.end()]).toString() };
}

const chat = (stripUsage: boolean, ...texts: string[]) =>
  run(
    'chat.completions',
    stripUsage,
    texts.map((text) => Buffer.from(text)),
  );

describe('StreamMeter on chat completions', () => {
  it('removes the usage chunk and fields that Tollgate asked for and nothing else, however the bytes are cut', () => {
    fc.assert(
      fc.property(chatStream, points, ({ upstream, client, promptTokens }, at) => {
        const result = run('chat.completions', true, chunksOf(upstream, at));
        expect(result.client).toBe(client);
        expect(result.meter.isWhole).toBe(true);
        expect(result.meter.result()).toMatchObject({
          state: 'complete',
          usage: { input_tokens: promptTokens, output_tokens: 5 },
          model: 'gpt-4o-mini-x',
          serviceTier: 'default',
        });
      }),
      { numRuns: 1500 },
    );
  });

  it('passes every byte on, line by line, and meters the same when the client asked for usage', () => {
    fc.assert(
      fc.property(chatStream, points, ({ upstream, promptTokens }, at) => {
        const { meter, client } = run('chat.completions', false, chunksOf(upstream, at));
        expect(client).toBe(upstream);
        expect(meter.isWhole).toBe(true);
        expect(meter.result().usage?.input_tokens).toBe(promptTokens);
      }),
      { numRuns: 500 },
    );
  });

  it('passes on the same Buffer when there is nothing to remove or to wait for', () => {
    const meter = new StreamMeter(usagePlace('chat.completions'), { stripUsage: true, choices: 1 });
    const chunk = Buffer.from('data: {"choices":[{"delta":{"content":"\\"usage\\":null"}}]}\n\n');
    expect(meter.push(chunk)).toBe(chunk);
  });

  it.each([true, false])('holds back no finished event, and the start of the next (%s)', (stripUsage) => {
    const meter = new StreamMeter(usagePlace('chat.completions'), { stripUsage, choices: 1 });
    expect(meter.push(Buffer.from('data: {"a":1}\n\ndata: {"b"')).toString()).toBe('data: {"a":1}\n\n');
    expect(meter.push(Buffer.from(':2}\n\n')).toString()).toBe('data: {"b":2}\n\n');
  });

  it('keeps usage on a chunk with content, and meters it', () => {
    const text = 'data: {"choices":[{"index":0}],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n';
    const { client, meter } = chat(true, text);
    expect(client).toBe(text);
    expect(meter.result().usageAtLeast?.output_tokens).toBe(2);
  });

  it('keeps a chunk that carries moderation results beside the usage', () => {
    const text =
      'data: {"choices":[],"moderation":{"input":{}},"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n';
    expect(chat(true, text).client).toBe(text);
  });

  it('removes every usage field of an event, also the only one', () => {
    expect(chat(true, 'data: {"usage":null}\n\ndata: {"usage":null , "usage":null}\n').client).toBe(
      'data: {}\n\ndata: {}\n',
    );
  });

  it('knows model and tier of a stream that was cut, but no usage', () => {
    const { meter } = chat(
      false,
      'data: {"model":"m","service_tier":"flex","choices":[]}\n\ndata: {"usage":{"prom',
    );
    expect(meter.result()).toEqual({ ...NONE, state: 'broken', model: 'm', serviceTier: 'flex', kept: null });
    expect(meter.isWhole).toBe(false);
  });

  it('keeps the tier that earlier chunks named when the usage chunk names none', () => {
    const usage = 'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n';
    const { meter } = chat(
      false,
      `data: {"model":"m","service_tier":"flex","choices":[]}\n\n${usage}data: [DONE]\n\n`,
    );
    expect(meter.result()).toMatchObject({ usage: { input_tokens: 1 }, model: 'm', serviceTier: 'flex' });
  });

  it('keeps a member whose name only ends in "usage"', () => {
    const text = 'data: {"a\\"usage":null}\n\n';
    expect(chat(true, text).client).toBe(text);
  });

  it('takes usage from a last line without an end', () => {
    const { meter, client } = chat(
      true,
      'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    );
    expect(meter.result().usageAtLeast?.input_tokens).toBe(1);
    expect(client).toBe('');
  });

  it('ignores malformed usage', () => {
    const { meter } = chat(
      false,
      'data: {"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":2}}\n\n',
    );
    expect(meter.result().usage).toBeNull();
  });

  it('sees the error that ends a stream', () => {
    const stateOf = (text: string) => chat(true, text).meter.result().state;
    expect(stateOf('data: {"error":{"message":"overloaded"}}\n\n')).toBe('failed');
    expect(stateOf('data: {"error":{"code":"server_is_overloaded"}}\n\n')).toBe('declined');
    expect(stateOf('data: {"error":null,"x":"\\"error\\":{}"}\n\n')).toBe('broken');
  });

  it('takes [DONE] for the end only as the whole data of an event', () => {
    const completed = (text: string) => chat(false, text).meter.isWhole;
    expect(completed('data:[DONE]\r\n\r\n')).toBe(true);
    expect(completed('data: [DONE]')).toBe(true);
    expect(completed('data: {"x":"[DONE]"}\n\ndata: x [DONE]\n\n: [DONE]\n\ndata: [DONE].\n\n')).toBe(false);
  });

  it('takes the end of a connection for the end of a stream without [DONE] whose choices and usage have come', () => {
    const part = (finish: string, usage: string) =>
      `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":${finish}}],"usage":${usage}}\n\n`;
    const usage = '{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}';
    const wholeOf = (...parts: string[]) => chat(false, ...parts).meter.isWhole;
    expect(wholeOf(part('"length"', usage))).toBe(true);
    expect(wholeOf(part('"length"', 'null'))).toBe(false);
    expect(wholeOf(part('null', usage))).toBe(false);
    expect(wholeOf(part('"length"', usage), part('null', 'null'))).toBe(false);
    expect(wholeOf(part('"length"', usage), 'data: {"choices":[')).toBe(false);
    const { meter } = chat(false, part('"length"', usage));
    expect(meter.result()).toMatchObject({ state: 'complete', usage: { output_tokens: 1 } });
  });

  it('passes a line on unmetered that is longer than it keeps', () => {
    const chunks = Array.from({ length: 10 }, () => Buffer.alloc(1024 * 1024, 'x'));
    const { client, meter } = run('chat.completions', true, [
      ...chunks,
      Buffer.from('\n\ndata: {"usage":null}\n\n'),
    ]);
    expect(client.length).toBe(10 * 1024 * 1024 + 24);
    expect(meter.result().usage).toBeNull();

    const text = `data: {}\n${'x'.repeat(9 * 1024 * 1024)}`;
    expect(chat(true, text).client).toBe(text);
  });
});

describe('StreamMeter on responses', () => {
  const usage = '{"input_tokens":7,"input_tokens_details":{"cached_tokens":3},"output_tokens":2}';
  const created =
    'event: response.created\ndata: {"type":"response.created","response":{"error":null,"usage":null}}\n\n';
  const delta = (text: string) =>
    `data: {"type":"response.output_text.delta","delta":${JSON.stringify(text)}}\n\n`;
  const terminal = (type: string, reported = usage) =>
    `event: ${type}\ndata: {"response":{"model":"gpt-5-x","service_tier":"default","usage":${reported}},"type":"${type}"}\n\n`;

  it.each([
    ['response.completed', false],
    ['response.incomplete', false],
    ['response.failed', true],
  ])('takes usage from %s, however the bytes are cut', (type, failed) => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), points, (text, at) => {
        const stream = created + delta(text) + terminal(type);
        const { meter, client } = run('responses', true, chunksOf(stream, at));
        expect(client).toBe(stream);
        expect(meter.isWhole).toBe(true);
        expect(meter.result()).toEqual({
          usage: {
            input_tokens: 7,
            cached_input_tokens: 3,
            cache_write_tokens: 0,
            output_tokens: 2,
            reasoning_tokens: 0,
          },
          usageAtLeast: null,
          state: failed ? 'failed' : 'complete',
          model: 'gpt-5-x',
          serviceTier: 'default',
          kept: expect.objectContaining({ reasoningContext: null }),
        });
      }),
      { numRuns: 200 },
    );
  });

  it('is not misled by text that looks like the end', () => {
    const texts = [
      'response.completed',
      terminal('response.completed'),
      '"response.failed"',
      '"error":{}',
      '[DONE]',
    ];
    const metadata = created.replace('"error"', '"metadata":{"a":"response.completed"},"error"');
    const { meter } = run('responses', false, [Buffer.from(created + metadata + texts.map(delta).join(''))]);
    expect(meter.isWhole).toBe(false);
    expect(meter.result()).toMatchObject({ ...NONE, state: 'broken' });
  });

  it('knows the id of a response that broke off from its first event, however the bytes are cut', () => {
    const first = created.replace('"error"', '"id":"resp_1","output":[],"error"');
    fc.assert(
      fc.property(points, (at) => {
        const { meter } = run('responses', false, chunksOf(first + delta('x'), at));
        expect(meter.result()).toMatchObject({ ...NONE, state: 'broken', kept: { id: 'resp_1', items: [] } });
      }),
    );
  });

  it('completes without usage when the last event has none', () => {
    const { meter } = run('responses', false, [Buffer.from(terminal('response.failed', 'null'))]);
    expect([meter.isWhole, meter.result().usage]).toEqual([true, null]);
  });

  it('sees an error event', () => {
    const { meter } = run('responses', false, [
      Buffer.from('event: error\ndata: {"type":"error","code":"x"}\n\n'),
    ]);
    expect([meter.isWhole, meter.result().state]).toEqual([true, 'failed']);
  });

  it('keeps a last event of a megabyte that arrives in small pieces, in time that grows with its size', () => {
    const big = terminal('response.completed').replace('"model"', `"text":"${'x'.repeat(2 ** 20)}","model"`);
    const chunks = chunksOf(
      big,
      Array.from({ length: 20_000 }, (_, index) => index * 50),
    );
    const before = process.threadCpuUsage();
    expect(run('responses', false, chunks).meter.isWhole).toBe(true);
    const { user, system } = process.threadCpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(5000);
  });
});

describe('a stream that goes on beyond what may be written', () => {
  const usageOf = (tokens: number) =>
    `"usage":{"prompt_tokens":1,"completion_tokens":${tokens},"total_tokens":9}`;
  const chatChunk = (text: string, more = '') =>
    `data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]${more}}\n\n`;
  const done = 'data: [DONE]\n\n';

  function passed(
    name: string,
    rule: 'bytes' | 'events' | null,
    text: string,
    at: number[],
    stripUsage = false,
  ) {
    const place = usagePlace(name);
    const counter = new OutputCounter(place, rule === 'events' ? { countTokens: null } : null);
    const most = { outputTokensMost: 3, ...(rule === null ? {} : { counter }) };
    const meter = new StreamMeter(place, { stripUsage, choices: 1, ...most });
    let client = '';
    for (const chunk of chunksOf(text, at)) {
      client += meter.push(chunk);
      // Here the gateway stops it.
      if (meter.isOver) break;
    }
    return { client, isOver: meter.isOver, separator: meter.separator };
  }

  it.each(['bytes', 'events'] as const)(
    'passes the event that went beyond, and nothing behind it (%s)',
    (rule) => {
      const events = ['a', 'b', '', 'c', 'd', 'e', 'f'].map((text) => chatChunk(text));
      fc.assert(
        fc.property(points, (at) => {
          const { client, isOver, separator } = passed('chat.completions', rule, events.join(''), at);
          expect([isOver, client + separator]).toEqual([true, events.slice(0, 5).join('')]);
        }),
      );
      const responses = ['a', 'b', 'c', 'd', 'e'].map(
        (delta) =>
          `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"${delta}"}\n\n`,
      );
      expect(passed('responses', rule, responses.join(''), []).client).toBe(responses.slice(0, 4).join(''));
    },
  );

  it.each([true, false])('is seen by the usage that it reports meanwhile (removed: %s)', (stripUsage) => {
    const events = [1, 3, 5, 7].map((tokens) => chatChunk('x', `,${usageOf(tokens)}`));
    const alone = `data: {"choices":[],${usageOf(4)}}\n\n`;
    const text = events.slice(0, 2).join('') + alone + events.slice(2).join('');
    const { client, isOver } = passed('chat.completions', null, text, [], stripUsage);
    const [first, second] = events;
    expect([isOver, client]).toEqual([true, `${first}${second}${stripUsage ? '' : alone}`]);
  });

  it('passes as it is when it came to its end', () => {
    const text =
      'abcdefg'
        .split('')
        .map((each) => chatChunk(each))
        .join('') + done;
    expect(passed('chat.completions', 'bytes', text, [])).toMatchObject({ client: text, isOver: false });
  });
});
