/** The options of `tollgate demo`. */
import { parseArgs } from 'node:util';

export interface DemoOptions {
  port: number;
  dataDir: string;
  callsPerSecond: number;
  /** Null: until a signal. */
  durationSeconds: number | null;
  /** The URL of a gateway that gets the sample traffic; null: the demo starts its own. */
  against: string | null;
}

export const HELP = `Usage: npm run demo -- [options]     (or: tollgate demo [options])

The whole of Tollgate on this machine: an embedded PostgreSQL, the gateway, a simulated OpenAI and sample traffic of a
few teams. It needs no key, no database and no internet, and costs nothing. Ctrl-C stops it.

  --port <number>       where to listen; the next free port if it is taken (8787)
  --data-dir <folder>   database, journal and log; may be deleted afterwards (./data/demo)
  --rate <number>       sample calls per second, 0 for none (6)
  --duration <seconds>  stop by itself (runs until Ctrl-C)
  --against <url>       only the sample traffic, at a gateway that runs there; needs TOLLGATE_ADMIN_KEY (its upstream
                        should be simulated: the traffic costs what it costs)
  --help
`;

/** The most calls per second that one process can send while it draws. */
const RATE_MAX = 500;
const DURATION_SECONDS_MAX = 86_400;

/** Returns the options of the arguments, `help`, or the problem with them. */
export function readOptions(argv: string[]): DemoOptions | 'help' | { problem: string } {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        port: { type: 'string', default: '8787' },
        'data-dir': { type: 'string', default: './data/demo' },
        rate: { type: 'string', default: '6' },
        duration: { type: 'string' },
        against: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return 'help';
    if (values['data-dir'].trim() === '') throw new RangeError('--data-dir needs a folder');
    return {
      port: within('--port', values.port, 1, 65_535, true),
      dataDir: values['data-dir'],
      callsPerSecond: within('--rate', values.rate, 0, RATE_MAX, false),
      durationSeconds:
        values.duration === undefined
          ? null
          : within('--duration', values.duration, 1, DURATION_SECONDS_MAX, false),
      against: values.against === undefined ? null : origin(values.against),
    };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

function within(name: string, text: string, min: number, max: number, whole: boolean): number {
  const value = /^\d{1,9}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    throw new RangeError(`${name} is a ${whole ? 'whole ' : ''}number from ${min} to ${max}`);
  }
  return value;
}

function origin(text: string): string {
  if (!/^https?:\/\/[^/]+\/?$/.test(text)) throw new RangeError('--against is like http://gateway:8787');
  return new URL(text).origin;
}
