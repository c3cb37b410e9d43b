/** Where the table goes: refreshed in place on a terminal, otherwise written again every few seconds. */
import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';
import type { Look } from './table.ts';

export interface Screen {
  look: Look;
  /** Time between two tables, in milliseconds. */
  intervalMs: number;
  show(lines: readonly string[]): void;
  /** The last table is drawn: what follows is ordinary text. */
  end(): void;
}

const LIVE_INTERVAL_MS = 500;
const PLAIN_INTERVAL_MS = 5_000;

export function openScreen(out: NodeJS.WriteStream = process.stdout): Screen {
  const style = (format: 'dim' | 'bold' | 'red') => (text: string) =>
    styleText(format, text, { stream: out });
  const look = { quiet: style('dim'), strong: style('bold'), alarm: style('red') };
  return out.isTTY ? liveScreen(out, look) : plainScreen(out, look);
}

function plainScreen(out: NodeJS.WritableStream, look: Look): Screen {
  return {
    look,
    intervalMs: PLAIN_INTERVAL_MS,
    show: (lines) => void out.write(`${lines.join('\n')}\n\n`),
    end: () => {},
  };
}

/** Control sequences of ECMA-48 and DEC private modes, which every terminal of today knows. */
const ESC = '\x1b[';
const HIDE_CURSOR = `${ESC}?25l`;
const SHOW_CURSOR = `${ESC}?25h`;
/** A line too long for the terminal is cut, or it would take two rows and the next refresh would miss its place. */
const CUT_LONG_LINES = `${ESC}?7l`;
const WRAP_LONG_LINES = `${ESC}?7h`;
const CLEAR_REST_OF_LINE = `${ESC}K`;
const CLEAR_BELOW = `${ESC}J`;

function liveScreen(out: WriteStream, look: Look): Screen {
  let drawn = 0;
  return {
    look,
    intervalMs: LIVE_INTERVAL_MS,
    show(lines) {
      const fitting = lines.slice(0, Math.max(1, out.rows - 1));
      const up = drawn > 0 ? `${ESC}${drawn}F` : '';
      const text = fitting.map((line) => `${line}${CLEAR_REST_OF_LINE}\n`).join('');
      out.write(HIDE_CURSOR + CUT_LONG_LINES + up + text + CLEAR_BELOW + WRAP_LONG_LINES);
      drawn = fitting.length;
    },
    end: () => void out.write(`${SHOW_CURSOR}\n`),
  };
}
