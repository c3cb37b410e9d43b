import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RequestEdits, renderBody } from '../../src/openai/request.ts';
import { countDuplicates, objectText } from './json-text.ts';
import { accepted, chat, type PostPath, read, response } from './read.ts';

const render = (path: PostPath, body: unknown, edits: RequestEdits) =>
  renderBody(accepted(path, body), edits).toString();

const edits: RequestEdits = { serviceTier: 'default', outputLimit: 99, includeUsage: true };
const askUsage: RequestEdits = { includeUsage: true };

describe('renderBody', () => {
  it('sends the very bytes of the client when there is nothing to edit', () => {
    const request = accepted('chat/completions', ` ${JSON.stringify(chat(), null, 2)}\n`);
    expect(renderBody(request, {})).toBe(request.body);
  });

  it('splices missing fields in and leaves every other byte alone', () => {
    const body =
      '\n{ "model" : "m", "messages":[{"content":"\\u00e9\\n"}], "temperature":1.0 ,"stream":true}';
    expect(render('chat/completions', body, edits)).toBe(
      `{"max_completion_tokens":99,"service_tier":"default","stream_options":{"include_usage":true},${body.slice(2)}`,
    );
    expect(render('responses', response(), edits)).toBe(
      '{"max_output_tokens":99,"service_tier":"default","model":"gpt-5","input":"Hello"}',
    );
  });

  it('writes the documented default of a completion that names no limit, which other servers do not have', () => {
    const body = { model: 'm', prompt: 'x' };
    expect(render('completions', body, {})).toBe('{"max_tokens":16,"model":"m","prompt":"x"}');
    expect(render('completions', { ...body, max_tokens: null }, {})).toBe(
      '{"model":"m","prompt":"x","max_tokens":16}',
    );
    expect(render('completions', { ...body, max_tokens: 0 }, {})).toBe(
      '{"model":"m","prompt":"x","max_tokens":0}',
    );
  });

  it('replaces a field that is null', () => {
    const fields = { service_tier: 'auto', max_completion_tokens: null, stream: true };
    const stream_options = { include_obfuscation: false, include_usage: false };
    const sent = JSON.parse(render('chat/completions', chat({ ...fields, stream_options }), edits));
    expect(sent).toEqual({
      ...chat({ service_tier: 'default', max_completion_tokens: 99, stream: true }),
      stream_options: { include_obfuscation: false, include_usage: true },
    });
    const sentWithoutOptions = render(
      'completions',
      { model: 'm', prompt: 'x', stream: true, stream_options: null },
      askUsage,
    );
    expect(JSON.parse(sentWithoutOptions).stream_options).toEqual({ include_usage: true });
  });

  it('replaces a value where it stands, whatever stands around it', () => {
    fc.assert(
      fc.property(objectText, objectText, fc.constantFrom('', ' ', '\n\t'), (before, after, blank) => {
        const tier = `${blank}"service_tier"${blank}:${blank}null${blank}`;
        const body = `${blank}{"model":"m","metadata":${before},${tier},"input":"]}\\"","x":${after}}${blank}`;
        const request = accepted('responses', body);
        const sent = renderBody(request, { serviceTier: 'default' }).toString();
        expect(sent).toBe(request.body.toString().replace(/("service_tier"\s*:\s*)null/, '$1"default"'));
      }),
      { numRuns: 1000 },
    );
  });

  it('sends a large body in pieces, without a copy of it', () => {
    const input = 'x'.repeat(100_000);
    const body = Buffer.from(JSON.stringify({ model: 'm', service_tier: 'auto', input }));
    const sent = renderBody(accepted('responses', body), { serviceTier: 'default', outputLimit: 9 });
    expect(Array.isArray(sent) && sent.at(-1)?.buffer).toBe(body.buffer);
    expect(JSON.parse(Buffer.concat(sent as Buffer[]).toString())).toEqual({
      max_output_tokens: 9,
      model: 'm',
      service_tier: 'default',
      input,
    });
  });

  it('keeps every digit of the numbers that it rewrites', () => {
    const body =
      '{"model":"m","input":"x","service_tier":null,"seed":9223372036854775807,"x":[1.0,1e400,-0]}';
    expect(render('responses', body, { serviceTier: 'default' })).toBe(body.replace('null', '"default"'));
  });

  it('leaves out edits that the operation has no field for', () => {
    const embedding = { model: 'm', input: 'x' };
    expect(render('embeddings', embedding, { serviceTier: 'default', includeUsage: true })).toBe(
      JSON.stringify(embedding),
    );
    expect(render('responses', response({ stream: true }), askUsage)).toBe(
      JSON.stringify(response({ stream: true })),
    );
    expect(render('chat/completions', chat(), askUsage)).toBe(JSON.stringify(chat()));
  });

  it('never overrules the client', () => {
    expect(() => render('chat/completions', chat({ max_tokens: 5 }), { outputLimit: 9 })).toThrow();
    expect(() => render('embeddings', { model: 'm', input: 'x' }, { outputLimit: 9 })).toThrow();
    expect(() =>
      render('responses', response({ service_tier: 'flex' }), { serviceTier: 'default' }),
    ).toThrow();
  });

  it.each([
    ['the limit', '{"model":"m","messages":[{"content":"x"}],"max_tokens":100000,"max_tokens":5}'],
    [
      'an escaped limit',
      '{"model":"m","messages":[{"content":"x"}],"max_\\u0074okens":100000,"max_tokens":5}',
    ],
    [
      'a part',
      '{"model":"m","messages":[{"content":[{"type":"file","type":"text","text":"x"}]}],"max_tokens":5}',
    ],
    ['a tool', '{"model":"m","messages":[{"content":"x"}],"tools":[{"type":"mcp","type":"function"}]}'],
  ])('sends only what was understood when %s stands twice', (_, body) => {
    const sent = render('chat/completions', body, {});
    expect(JSON.parse(sent)).toEqual(JSON.parse(body));
    expect(countDuplicates(sent)).toBe(0);
  });

  it('reads the same to a parser that takes the first of two names as to one that takes the last', () => {
    fc.assert(
      fc.property(objectText, fc.boolean(), (metadata, edited) => {
        const body = `{"model":"m","input":"x","metadata":${metadata}}`;
        const sent = render('responses', body, edited ? { outputLimit: 99, serviceTier: 'default' } : {});
        expect(countDuplicates(sent)).toBe(0);
        const added = edited ? { max_output_tokens: 99, service_tier: 'default' } : {};
        expect(JSON.parse(sent)).toEqual({ ...JSON.parse(body), ...added });
      }),
      { numRuns: 1000 },
    );
  });

  it('rewrites every accepted nesting', () => {
    const metadata = `${'['.repeat(254)}${']'.repeat(254)}`;
    const body = `{"model":"m","input":"x","service_tier":null,"metadata":${metadata}}`;
    expect(render('responses', body, { serviceTier: 'default' })).toBe(body.replace('null', '"default"'));
    expect(read('responses', body.replace('[', '[[[').replace(']', ']]]'))).toHaveProperty('code');
  });
});
