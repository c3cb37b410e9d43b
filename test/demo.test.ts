import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createAdminClient } from '../src/demo/admin-client.ts';
import { freePort } from '../src/demo/port.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const HOST = '127.0.0.1';
const runFile = promisify(execFile);
/** What a developer's shell may hold; a demo that used any of it would fail, or worse, work. */
const REAL = {
  OPENAI_API_KEY: 'sk-real',
  OPENAI_BASE_URL: 'http://127.0.0.1:9/v1',
  OPENAI_ORG_ID: 'org-real',
  DATABASE_URL: 'postgres://nobody@127.0.0.1:9/real',
  TOLLGATE_ADMIN_KEY: 'short',
};

class Demo {
  readonly child: ChildProcess;
  output = '';

  constructor(argv: string[]) {
    this.child = spawn('node', ['bin/tollgate.mjs', 'demo', ...argv], {
      cwd: ROOT,
      env: { ...process.env, ...REAL },
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output);
      if (found) return found;
      if (this.child.exitCode !== null) throw new Error(`ended without ${pattern}:\n${this.output}`);
      await delay(50);
    }
  }

  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    return this.child.exitCode;
  }

  /** The text between a snippet's heading and the next blank line. */
  snippet(heading: string): string {
    return new RegExp(`--- ${heading}.*\n([^]*?)\n\n`).exec(this.output)![1]!;
  }

  /** Makes a team and a key by hand, calls with it, and returns the status. */
  async callOfNewTeam(): Promise<number> {
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(this.output)!;
    const [adminKey] = /tga-\S+/.exec(this.output)!;
    const admin = createAdminClient(url, adminKey);
    const team = await admin.post('/teams', { name: 'by hand' }, z.object({ id: z.string() }));
    const made = await admin.post('/keys', { team_id: team.id, name: 'hand' }, z.object({ key: z.string() }));
    const { status } = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${made.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] }),
    });
    return status;
  }
}

describe('the demo', () => {
  let folder: string;
  let dataDir: string;
  let port: number;
  const demos: Demo[] = [];
  const start = (...argv: string[]) => {
    const demo = new Demo(['--port', String(port), '--data-dir', dataDir, ...argv]);
    demos.push(demo);
    return demo;
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tollgate-demo-'));
    dataDir = join(folder, 'data');
    port = (await freePort(18_700 + (process.pid % 1000), HOST))!;
  });
  afterAll(() => {
    for (const { child } of demos) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('starts in an empty folder, prints calls that work when pasted, and leaves nothing running after Ctrl-C', async () => {
    const demo = start('--rate', '30');
    await demo.says(/Ctrl-C stops/);

    const shell = await runFile('sh', ['-c', demo.snippet('shell')]);
    expect(shell.stdout).toMatch(/^HTTP\/1.1 200 OK/);
    expect(shell.stdout).toMatch(/x-tollgate-cost-usd: 0\.0\d+/);
    const script = runFile('node', ['--input-type=module', '--eval', demo.snippet('TypeScript')], {
      cwd: ROOT,
    });
    expect((await script).stdout).toContain('total_tokens');
    const admin = await runFile('sh', ['-c', demo.snippet('what every team spent')]);
    expect(JSON.parse(admin.stdout)).toMatchObject({ interval: 'total' });
    // A team of one's own counts at the end too.
    expect(await demo.callOfNewTeam()).toBe(200);

    await demo.says(/^interns .* of \$0\.01 +[1-9]/m);
    demo.child.kill('SIGINT');
    expect(await demo.ended()).toBe(0);
    expect(demo.output).toMatch(/agree to the last digit: \$0\.\d+/);
    expect(demo.output).toMatch(/^you +gpt-5\.6-luna +1 /m);
    expect(demo.output).not.toContain('calls failed');
    expect(demo.output).not.toContain('\x1b');
    expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
    expect(existsSync(join(dataDir, 'postgres', 'postmaster.pid'))).toBe(false);
  });

  it('runs again on the same data with new teams, on the next port when its own is taken', async () => {
    const other = createServer().listen(port, HOST);
    await once(other, 'listening');
    const demo = start('--duration', '2');
    expect(await demo.ended()).toBe(0);
    other.close();
    expect(demo.output).toContain(`Port ${port} is taken: this is on port ${port + 1}.`);
    expect(demo.output).toMatch(/^research 2 /m);
    expect(demo.output).toMatch(/agree to the last digit/);
  });

  it('reports a folder that it cannot write, and the option to change it', async () => {
    writeFileSync(join(folder, 'file'), '');
    const demo = start('--data-dir', join(folder, 'file', 'data'));
    expect(await demo.ended()).toBe(1);
    expect(demo.output).toMatch(/cannot write to the folder .* choose one with --data-dir/);
  });

  it('reports invalid arguments', async () => {
    const demo = start('--rate', 'fast');
    expect(await demo.ended()).toBe(2);
    expect(demo.output).toContain('--rate is a number from 0 to 500');
  });
});
