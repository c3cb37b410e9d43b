/** The real admin API on a real database behind a real port, and the command line in a home of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '@hono/node-server';
import { runCommand } from '../../src/cli/commands.ts';
import type { CliWorld } from '../../src/cli/world.ts';
import { commandNames } from '../../src/main/command-line.ts';
import { ADMIN_KEY, createTestAdmin, type TestAdmin } from '../admin/support.ts';

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface TestCli {
  admin: TestAdmin;
  url: string;
  home: string;
  /** Runs one line of arguments. */
  run(args: readonly string[], options?: { stdin?: string; env?: Record<string, string> }): Promise<Ran>;
  /** Runs a line that must succeed; returns its JSON. */
  json(args: readonly string[]): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** @param now stops the API's clock and Postgres's at this moment */
export async function createTestCli(now?: string): Promise<TestCli> {
  const admin = await createTestAdmin(now);
  const home = await mkdtemp(join(tmpdir(), 'tollgate-cli-'));
  const { server, port } = await new Promise<{ server: ReturnType<typeof serve>; port: number }>(
    (resolve) => {
      const server = serve({ fetch: admin.app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
        resolve({ server, port }),
      );
    },
  );
  const url = `http://127.0.0.1:${port}`;
  async function run(
    [name = '', ...args]: readonly string[],
    {
      stdin = '',
      env = { TOLLGATE_URL: url, TOLLGATE_ADMIN_KEY: ADMIN_KEY },
    }: { stdin?: string; env?: Record<string, string> } = {},
  ): Promise<Ran> {
    const out: Buffer[] = [];
    let stderr = '';
    const world: CliWorld = {
      env,
      home,
      commands: commandNames(),
      stdout: (text) => out.push(Buffer.from(text as Uint8Array)),
      stderr: (text) => {
        stderr += text;
      },
      stdin: async () => stdin,
      isTerminal: false,
    };
    const code = await runCommand(name, args, world);
    return { code, stdout: Buffer.concat(out).toString(), stderr };
  }
  return {
    admin,
    url,
    home,
    run,
    json: async (args) => {
      const { code, stdout, stderr } = await run([...args, '--json']);
      if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
      return JSON.parse(stdout);
    },
    close: async () => {
      await new Promise((resolve) => server.close(resolve));
      await admin.close();
      await rm(home, { recursive: true });
    },
  };
}
