/** The output of the table: refreshed in place on a terminal, otherwise written again every few seconds. */
import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';
import type { TableStyle } from './table.ts';

export interface Screen {
  style: TableStyle;
  /** Time between two tables, in milliseconds. */
  intervalMs: number;
  show(lines: readonly string[]): void;
  /** Ends the refreshed table: ordinary text may follow. */
  end(): void;
}

const LIVE_INTERVAL_MS = 500;
const PLAIN_INTERVAL_MS = 5_000;

export function openScreen(out: NodeJS.WriteStream = process.stdout): Screen {
  const format = (name: 'dim' | 'bold' | 'red') => (text: string) => styleText(name, text, { stream: out });
  const style = { quiet: format('dim'), strong: format('bold'), alarm: format('red') };
  return out.isTTY ? liveScreen(out, style) : plainScreen(out, style);
}

function plainScreen(out: NodeJS.WritableStream, style: TableStyle): Screen {
  return {
    style,
    intervalMs: PLAIN_INTERVAL_MS,
    show: (lines) => void out.write(`${lines.join('\n')}\n\n`),
    end: () => {},
  };
}

/** Control sequences of ECMA-48 and DEC private modes, which every terminal of today knows. */
const ESC = '\x1b[';
const HIDE_CURSOR = `${ESC}?25l`;
const SHOW_CURSOR = `${ESC}?25h`;
/** Cuts lines that are too long: a line of two rows would break the next refresh. */
const CUT_LONG_LINES = `${ESC}?7l`;
const WRAP_LONG_LINES = `${ESC}?7h`;
const CLEAR_REST_OF_LINE = `${ESC}K`;
const CLEAR_BELOW = `${ESC}J`;

function liveScreen(out: WriteStream, style: TableStyle): Screen {
  let drawn = 0;
  return {
    style,
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
