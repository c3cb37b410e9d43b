/** Real clients with their default retries, each with one prompt. Those that are no dependency are installed, pinned, in a folder apart. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import OpenAI from 'openai';
import OpenAI6 from 'openai6';

const PACKAGES = ['ai@7.0.173', '@ai-sdk/openai@3.0.141', '@openai/codex@0.171.0'];
const MODEL = 'gpt-5-mini';
const PROMPT = 'Say hello.';
/** Codex repeats a prompt for half a minute; turned away, it waits and goes on. */
const CODEX_TIMEOUT_MS = 90_000;

export interface Client {
  name: string;
  /** Sends the prompt; returns how it ended in the client's own words. */
  ask(baseUrl: string, key: string): Promise<string>;
}

/** Installs what is missing in a folder; returns all clients. */
export async function clientsIn(folder: string): Promise<Client[]> {
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, 'node_modules', '@openai', 'codex'))) {
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--save-exact', ...PACKAGES], {
      cwd: folder,
      stdio: 'ignore',
    });
  }
  return [
    ...official('openai 7', OpenAI),
    ...official('openai 6', OpenAI6),
    ...(await vercel(folder)),
    codex(folder),
  ];
}

function official(name: string, Sdk: typeof OpenAI | typeof OpenAI6): Client[] {
  const chat = {
    model: MODEL,
    max_completion_tokens: 1000,
    messages: [{ role: 'user' as const, content: PROMPT }],
  };
  const response = { model: MODEL, max_output_tokens: 1000, input: PROMPT };
  const calls: [string, (sdk: OpenAI) => Promise<unknown>][] = [
    ['chat', (sdk) => sdk.chat.completions.create(chat)],
    ['chat stream', async (sdk) => drain(await sdk.chat.completions.create({ ...chat, stream: true }))],
    ['responses', (sdk) => sdk.responses.create(response)],
    ['responses stream', async (sdk) => drain(await sdk.responses.create({ ...response, stream: true }))],
  ];
  return calls.map(([kind, call]) => ({
    name: `${name}, ${kind}`,
    ask: (baseURL, apiKey) => ending(call(new Sdk({ baseURL, apiKey }) as OpenAI)),
  }));
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** The parts of the Vercel AI SDK that are used. */
interface Vercel {
  generateText(options: object): Promise<unknown>;
  streamText(options: object): { fullStream: AsyncIterable<{ type: string; error?: unknown }> };
}
type Provider = (model: string) => unknown;

async function vercel(folder: string): Promise<Client[]> {
  const { resolve } = createRequire(join(folder, 'package.json'));
  const ai = (await import(pathToFileURL(resolve('ai')).href)) as Vercel;
  const { createOpenAI } = (await import(pathToFileURL(resolve('@ai-sdk/openai')).href)) as {
    createOpenAI(options: object): Provider & { chat: Provider };
  };
  const options = (baseURL: string, apiKey: string, isChat: boolean) => {
    const provider = createOpenAI({ baseURL, apiKey });
    return { model: (isChat ? provider.chat : provider)(MODEL), prompt: PROMPT, maxOutputTokens: 1000 };
  };
  const stream = async (url: string, key: string, isChat: boolean) => {
    let failed: unknown = null;
    const { fullStream } = ai.streamText({ ...options(url, key, isChat), onError: () => {} });
    for await (const part of fullStream) if (part.type === 'error') failed = part.error;
    if (failed !== null) throw failed;
  };
  return [
    { name: 'ai 7, responses', ask: (url, key) => ending(ai.generateText(options(url, key, false))) },
    { name: 'ai 7, responses stream', ask: (url, key) => ending(stream(url, key, false)) },
    { name: 'ai 7, chat stream', ask: (url, key) => ending(stream(url, key, true)) },
  ];
}

/** In a home of its own; without the hosted tools that Tollgate refuses. */
function codex(folder: string): Client {
  return {
    name: 'Codex CLI 0.171.0',
    async ask(baseUrl, key) {
      const home = join(folder, 'codex-home');
      mkdirSync(home, { recursive: true });
      const provider = `{name="outage",base_url="${baseUrl}",env_key="TOLLGATE_KEY",wire_api="responses"}`;
      const child = spawn(
        join(folder, 'node_modules', '.bin', 'codex'),
        [
          ...['exec', '--skip-git-repo-check', '--sandbox', 'read-only', '-m', MODEL],
          ...['-c', `model_providers.outage=${provider}`, '-c', 'model_provider="outage"'],
          ...['-c', 'web_search="disabled"', PROMPT],
        ],
        {
          cwd: home,
          env: { PATH: process.env.PATH, HOME: home, CODEX_HOME: home, TOLLGATE_KEY: key },
          stdio: ['ignore', 'pipe', 'pipe'],
          timeout: CODEX_TIMEOUT_MS,
        },
      );
      let said = '';
      for (const output of [child.stdout, child.stderr]) output.on('data', (bytes) => (said += bytes));
      const [code] = await once(child, 'exit');
      const lines = said
        .trim()
        .split('\n')
        .filter((line) => /error/i.test(line));
      return code === 0 ? 'answered' : `exit ${code}: ${(lines.at(-1) ?? said.slice(-200)).slice(0, 160)}`;
    },
  };
}

async function ending(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'answered';
  } catch (error) {
    const { name, message } = error as Error;
    return `${name}: ${message.replaceAll('\n', ' ')}`.slice(0, 160);
  }
}
