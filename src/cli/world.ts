/** What the commands for a running gateway need of the world around them, and the errors that they tell people. */

export interface CliWorld {
  env: Readonly<Record<string, string | undefined>>;
  /** The home folder, where profiles lie without XDG_CONFIG_HOME. */
  home: string;
  stdout(text: string | Uint8Array): void;
  stderr(text: string): void;
  /** Every command of `tollgate`. */
  commands: readonly string[];
  /** Returns the whole of stdin. */
  stdin(): Promise<string>;
  /** Whether stdin is a terminal. */
  isTerminal: boolean;
}

/** The line is wrong: a message for stderr, exit code 2. */
export class WrongLine extends Error {}

/** The command could not be done: a message for stderr, exit code 1. */
export class Failed extends Error {}
