/** A client in Python: a process that runs one scenario after the other, with what is in the module of its name. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';
import { type Client, PIXEL, type Place, PROMPTS, testClients } from './scenarios.ts';

const SERVE = fileURLToPath(new URL('python/serve.py', import.meta.url));

/** Calls and answers in turn. */
export class PythonProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  /** @param more environment for this process */
  constructor(python: string, module: string, more: Record<string, string> = {}) {
    // What the caller's environment says of proxies and keys is not for the clients.
    const env = {
      PATH: process.env.PATH,
      PYTHONUNBUFFERED: '1',
      PYTHONDONTWRITEBYTECODE: '1',
      LANGSMITH_TRACING: 'false',
      ...more,
    };
    this.#child = spawn(python, [SERVE, module], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no output to read');
    this.#reader = createInterface(this.#child.stdout);
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async call(
    client: string,
    scenario: string,
    place: Pick<Place, 'baseUrl' | 'key'>,
    input: unknown,
  ): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify({ client, scenario, place, input })}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the process of Python has ended');
    const answer = JSON.parse(String(value)) as { result?: unknown; error?: string };
    if (answer.error === undefined) return answer.result;
    const [, name = 'Error', message = ''] = /^(\w+): (.*)$/s.exec(answer.error) ?? [];
    throw Object.assign(new Error(message), { name });
  }

  end(): void {
    this.#reader.close();
    this.#child.kill();
  }
}

/** How the clients of a module show a denial, and an answer that was cut short, by the name of the client. */
type Expected = Record<string, Pick<Client, 'deniedRequests' | 'denied' | 'shortened'>>;

/** Puts the clients of a module through all scenarios. */
export function testPython(name: string, module: string, expected: Expected): void {
  const { python, pythonMissing } = inject('clients');
  let running: PythonProcess | null = null;
  const call = (client: string) => (scenario: string, place: Place, input: unknown) => {
    if (python === null) throw new Error(pythonMissing ?? '');
    running ??= new PythonProcess(python, module);
    return running.call(client, scenario, place, input);
  };
  const clients = Object.entries(expected).map(([client, shown]) => {
    const make = () => ({ ...remote(call(client)), ...shown });
    return [`${name}, ${client}`, make] as const;
  });
  testClients(Object.fromEntries(clients), {
    skipped: pythonMissing,
    close: async () => running?.end(),
  });
}

function remote(
  call: (scenario: string, place: Place, input: unknown) => Promise<unknown>,
): Omit<Client, keyof Expected[string]> {
  return {
    first: async (place) => String(await call('first', place, PROMPTS.first)),
    ended: async (place) => String(await call('ended', place, PROMPTS.first)),
    tools: async (place) => (await call('tools', place, PROMPTS.tools)) as string[],
    turns: async (place) => (await call('turns', place, PROMPTS.turns)) as string[],
    vision: async (place) => String(await call('vision', place, { prompt: PROMPTS.vision, image: PIXEL })),
    structured: (place) => call('structured', place, PROMPTS.structured),
    stream: async (place) => (await call('stream', place, PROMPTS.stream)) as string[],
    cancel: async (place) => void (await call('cancel', place, PROMPTS.stream)),
  };
}
