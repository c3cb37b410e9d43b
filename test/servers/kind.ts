/** What a real server is to these tests: how it is had and started, and what is known of it. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface ServerKind {
  /** Of the server, its upstream and its team. */
  name: string;
  /** What is installed, exactly. */
  pins: readonly string[];
  /** Installs the pins into an empty folder. @throws when they cannot be had here */
  install(home: string): void;
  /** Returns what serves the model of a folder on a port of this machine. */
  command(home: string, model: string, port: number): Command;
  /** A path that returns 200 once the model can be called. */
  readyPath: string;
  /** The model's name there. */
  modelName(model: string): string;
  /** What its upstream needs in tollgate.yaml beside address, names and prices. */
  settings: Record<string, unknown>;
  habits: Habits;
}

export interface Command {
  program: string;
  args: string[];
  env?: Record<string, string>;
}

/** What a server does, as far as it matters to what a call costs. */
export interface Habits {
  /** What the limit probe finds, by operation; an operation that is not served is missing. */
  limits: Record<string, 'kept' | 'ignored'>;
  /** Fields of a chat that end it after so many tokens. */
  limitFields: readonly string[];
  /** Where a stream has its usage when it is asked for: on a chunk without choices, on the last with one, or nowhere. */
  usageInStreams: 'own chunk' | 'last chunk' | 'none';
  /** Whether a chat stream has usage that was not asked for. */
  hasUsageUnasked: boolean;
  /** It streams a response of `/responses` that was not asked to be streamed. */
  streamsUnasked: boolean;
  /** Choices that come of `n: 2`. */
  choices: number;
  /** Status of a prompt that is longer than the context, whole and as a stream. */
  overlong: readonly [number, number];
  /** Status of a value of the wrong type. */
  wrongType: number;
  /** Its text has the form of `response_format`, whatever the model would write. */
  structured: boolean;
}

/** Makes an environment of Python with these packages. @throws when there is no Python, or not the packages */
export function installPython(home: string, pins: readonly string[]): void {
  execFileSync('python3', ['-m', 'venv', home], { stdio: 'pipe' });
  const flags = ['--quiet', '--disable-pip-version-check'];
  execFileSync(join(home, 'bin/python'), ['-m', 'pip', 'install', ...flags, ...pins], { stdio: 'pipe' });
}
