/** Runs the Codex CLI with its built-in provider, each key with a home and a folder of work of its own. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inject } from 'vitest';
import type { Place } from './scenarios.ts';

const { folder } = inject('clients');
const CODEX = join(folder, 'node_modules', '.bin', 'codex');

export interface CodexEvent {
  type: string;
  message?: string;
  error?: { message: string };
  item?: { type: string; text?: string; aggregated_output?: string; exit_code?: number };
}

export interface CodexRun {
  /** Further lines of its settings. */
  config?: string;
  /** Further environment. */
  env?: Record<string, string>;
  /** It is interrupted, as by Ctrl-C, when this resolves. */
  leave?: (() => Promise<void>) | undefined;
}

/** Returns its home for a key. */
export function homeOf(key: string): string {
  const path = join(folder, 'codex', createHash('sha256').update(key).digest('hex').slice(0, 16));
  mkdirSync(join(path, 'work'), { recursive: true });
  return path;
}

/** Runs it once, and returns its events. Rejects with what it says where its turn failed. */
export async function runCodex(
  { baseUrl, key }: Pick<Place, 'baseUrl' | 'key'>,
  parameters: string[],
  { config = '', env = {}, leave }: CodexRun = {},
): Promise<CodexEvent[]> {
  const path = homeOf(key);
  writeFileSync(join(path, 'config.toml'), `openai_base_url = "${baseUrl}"\n${config}`);
  const child = spawn(CODEX, ['exec', '--json', '--skip-git-repo-check', ...parameters], {
    cwd: join(path, 'work'),
    env: { PATH: process.env.PATH, HOME: path, CODEX_HOME: path, CODEX_API_KEY: key, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 100_000,
  });
  const events: CodexEvent[] = [];
  const exited = once(child, 'exit');
  if (leave !== undefined) {
    await leave();
    child.kill('SIGINT');
  }
  for await (const line of createInterface(child.stdout)) events.push(JSON.parse(line) as CodexEvent);
  await exited;
  const failed = events.find(({ type }) => type === 'turn.failed');
  if (failed !== undefined && leave === undefined) throw new Error(failed.error?.message);
  return events;
}

/** Returns the last text that it wrote. */
export function textOf(events: readonly CodexEvent[]): string {
  return events.findLast(({ item }) => item?.type === 'agent_message')?.item?.text ?? '';
}
