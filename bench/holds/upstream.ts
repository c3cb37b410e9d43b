/**
 * An upstream that counts as OpenAI publishes it: o200k_base, harmony's frames, tools as TypeScript, images by the rule of the
 * model, prompts cached by their leading items in steps of 128 tokens. Answers have as many tokens as are set.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { imageTokens } from '../../src/domain/images.ts';
import type { RateCards } from '../../src/domain/price.ts';
import { imageSizeOf } from '../../src/openai/image-size.ts';
import { countPrompt, type PromptStyle } from './prompt.ts';

type JsonObject = Record<string, unknown>;

const REASONING_TOKENS = 200;
/** Encrypted content has some five bytes a token. */
const SEALED_BYTES = 1060;
const CACHE_STEP = 128;
const CACHED_LEAST = 1024;
/** Texts of an agent come again in each call. */
const LONG_TEXT = 200;

export class CountingUpstream {
  readonly #server: Server;
  readonly #rates: RateCards;
  readonly #counted = new Map<string, number>();
  readonly #reasoning = new Map<string, number>();
  /** The items of the last call, by the first one. */
  readonly #cached = new Map<string, string[]>();
  #answers = 0;
  /** Of each answer. */
  outputTokens = 500;

  constructor(rates: RateCards) {
    this.#rates = rates;
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.url === '/v1/chat/completions' || request.url === '/v1/responses')
          this.#answer(JSON.parse(Buffer.concat(chunks).toString()), response);
        else
          response
            .writeHead(404, { 'content-type': 'application/json' })
            .end('{"error":{"message":"no such path"}}');
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(body: JsonObject, response: ServerResponse): void {
    const usage = this.#usageOf(body);
    const json = body.messages === undefined ? this.#response(body, usage) : this.#completion(body, usage);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(json));
  }

  #usageOf(body: JsonObject): { input: number; cached: number; written: number } {
    const model = String(body.model);
    const card = this.#rates.find(model, Date.now());
    const style: PromptStyle = {
      tools: 'typescript',
      image: (part) => {
        const { image_url: url, detail } = part;
        const known = (typeof url === 'string' ? { url, detail } : url) as { url: string; detail?: 'auto' };
        const rule = card?.limits.imageRule ?? null;
        const size = imageSizeOf(known.url);
        return rule === null ? 0 : (imageTokens(rule, { size, detail: known.detail ?? 'auto' }) ?? 0);
      },
      reasoning: (item) => this.#reasoning.get(String(item.encrypted_content)) ?? 0,
    };
    const count = (text: string) => this.#count(text);
    const input = countPrompt(body, count, style);
    const list = (body.messages ?? body.input) as JsonObject[] | string;
    const items = typeof list === 'string' ? [list] : list.map((item) => JSON.stringify(item));
    const before = this.#cached.get(items[0] ?? '') ?? [];
    const differs = items.findIndex((item, index) => item !== before[index]);
    const shared = differs === -1 ? items.length : differs;
    this.#cached.set(items[0] ?? '', items);
    const name = body.messages === undefined ? 'input' : 'messages';
    const known =
      typeof list === 'string' || shared === 0
        ? 0
        : countPrompt({ ...body, [name]: list.slice(0, shared) }, count, style);
    const cached = known < CACHED_LEAST ? 0 : known - (known % CACHE_STEP);
    const writesAreBilled =
      card?.tiers.default?.lines.some(({ meter }) => meter.startsWith('cache_write')) ?? false;
    const written = writesAreBilled ? input - cached : 0;
    return { input, cached, written: written - (written % CACHE_STEP) };
  }

  #count(text: string): number {
    const known = this.#counted.get(text);
    if (known !== undefined) return known;
    const tokens = countTokens(text, { disallowedSpecial: new Set() });
    if (text.length > LONG_TEXT) this.#counted.set(text, tokens);
    return tokens;
  }

  #completion(
    { model }: JsonObject,
    { input, cached, written }: { input: number; cached: number; written: number },
  ) {
    const call = {
      id: `call_${++this.#answers}`,
      type: 'function',
      function: { name: 'read_file', arguments: '{"path":"src/main.ts"}' },
    };
    return {
      id: `chatcmpl-${this.#answers}`,
      object: 'chat.completion',
      model,
      service_tier: 'default',
      choices: [
        {
          index: 0,
          finish_reason: 'tool_calls',
          message: { role: 'assistant', content: TEXT, tool_calls: [call] },
        },
      ],
      usage: {
        prompt_tokens: input,
        prompt_tokens_details: { cached_tokens: cached, cache_write_tokens: written },
        completion_tokens: this.outputTokens,
        completion_tokens_details: { reasoning_tokens: 0 },
        total_tokens: input + this.outputTokens,
      },
    };
  }

  #response(
    { model }: JsonObject,
    { input, cached, written }: { input: number; cached: number; written: number },
  ) {
    const id = ++this.#answers;
    const encrypted_content = `${id}-`.padEnd(SEALED_BYTES, 'gAAAAABo');
    this.#reasoning.set(encrypted_content, REASONING_TOKENS);
    return {
      id: `resp_${id}`,
      object: 'response',
      status: 'completed',
      model,
      service_tier: 'default',
      store: false,
      reasoning: { context: 'all_turns' },
      output: [
        { type: 'reasoning', id: `rs_${id}`, summary: [], encrypted_content },
        {
          type: 'message',
          id: `msg_${id}`,
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: TEXT, annotations: [] }],
        },
        {
          type: 'function_call',
          id: `fc_${id}`,
          call_id: `call_${id}`,
          name: 'read_file',
          arguments: '{"path":"src/main.ts"}',
          status: 'completed',
        },
      ],
      usage: {
        input_tokens: input,
        input_tokens_details: { cached_tokens: cached, cache_write_tokens: written },
        output_tokens: this.outputTokens,
        output_tokens_details: { reasoning_tokens: Math.min(REASONING_TOKENS, this.outputTokens) },
        total_tokens: input + this.outputTokens,
      },
    };
  }
}

const TEXT = 'I read the file and change the function that counts, then I run its tests once more. '.repeat(
  14,
);
