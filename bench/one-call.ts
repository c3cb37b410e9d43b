/**
 * `npm run coverage:call`: the files of `src/` in which a function runs during one warm JSON call, by V8's precise coverage of
 * the running gateway, over a connection that is open. The counts are reset before each of several calls and read after
 * it, so that what only a timer runs is told apart. What happens later and for many calls at once (the flush to Postgres) is not part of a call.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SMALL_JSON } from './cases.ts';
import { Connection, requestOf } from './connection.ts';
import type { FilesOfACall } from './coverage.ts';
import { INSPECTED, type Inspector, openInspectors, startCoverage, watchCalls } from './inspector.ts';
import { startOwnServer, stopAll } from './processes.ts';
import { startTollgate } from './tollgate.ts';

const HELP = `Usage: npm run coverage:call -- [options]

Starts the gateway with everything on in front of a canned upstream, and lists the files of src/ in which a function runs
during one warm JSON call.

  --max N     exit code 1 when there are more files than this
  --calls N   calls that are looked at, one by one (default 30)
  --help      this text
`;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WARMUP_CALLS = 2_000;
const FIRST_CALLS_MAX = 10;

interface Options {
  max: number | null;
  calls: number;
}

function readOptions(argv: string[]): Options | null {
  const { values } = parseArgs({
    args: argv,
    options: {
      max: { type: 'string' },
      calls: { type: 'string', default: '30' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const count = (flag: string, text: string) => {
    if (!/^[1-9]\d{0,3}$/.test(text))
      throw new Error(`${flag}: ${text} is not a whole number from 1 to 9999`);
    return Number(text);
  };
  const max = values.max === undefined ? null : count('--max', values.max);
  return { max, calls: count('--calls', values.calls) };
}

const isSource = (path: string) => existsSync(`${ROOT}${path}`);

async function watch(
  inspectors: readonly Inspector[],
  call: () => Promise<void>,
  calls: number,
): Promise<FilesOfACall> {
  await startCoverage(inspectors);
  for (let made = 0; made < WARMUP_CALLS; made++) await call();
  return watchCalls(inspectors, { calls, call, isSource });
}

/** The first call waits for its team's money, on a busy machine longer than a call waits. */
async function untilAdmitted(port: number, key: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  for (let tries = 1; ; tries++) {
    const url = `http://127.0.0.1:${port}/v1/chat/completions`;
    const response = await fetch(url, { method: 'POST', headers, body: SMALL_JSON.body });
    const text = await response.text();
    if (response.ok) return;
    if (response.status !== 503 || tries === FIRST_CALLS_MAX) throw new Error(`${response.status}: ${text}`);
  }
}

async function measure(dir: string, calls: number): Promise<FilesOfACall> {
  const upstream = await startOwnServer({ script: 'upstream.ts', logFile: `${dir}/upstream.log` });
  const gateway = `${dir}/gateway`;
  mkdirSync(gateway);
  const { port, key } = await startTollgate(
    {
      build: ROOT,
      upstreamPort: upstream.port,
      upstreamConnections: 16,
      dir: gateway,
      nodeFlags: [],
      env: { ...INSPECTED, TOLLGATE_WORKERS: '1' },
    },
    () => {},
  );
  const inspectors = await openInspectors(readFileSync(`${gateway}/log`, 'utf8'));
  const target = { port, headers: { authorization: `Bearer ${key}` } };
  const broken = Promise.withResolvers<never>();
  const connection = await Connection.open(port, (reason) => broken.reject(new Error(reason)));
  const request = requestOf({ target, body: SMALL_JSON.body });
  await untilAdmitted(port, key);
  const call = () => new Promise<void>((onEnd) => connection.start({ request, onEnd }));
  try {
    return await Promise.race([watch(inspectors, call, calls), broken.promise]);
  } finally {
    connection.close();
    for (const one of inspectors) one.close();
  }
}

function print({ always, sometimes }: FilesOfACall, max: number | null): void {
  if (always.length === 0) throw new Error('no function of src/ ran: is the gateway started from elsewhere?');
  console.log(`${always.join('\n')}\n`);
  if (sometimes.length > 0) console.log(`in some calls, or in the background:\n${sometimes.join('\n')}\n`);
  console.log(`${always.length} files${max === null ? '' : `, at most ${max}`}`);
  if (max !== null && always.length > max) process.exitCode = 1;
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    console.log(HELP);
    return;
  }
  const dir = mkdtempSync(`${tmpdir()}/tollgate-one-call-`);
  // An embedded Postgres started by root runs as another user, who has to reach its data.
  chmodSync(dir, 0o755);
  const cleanUp = async () => {
    await stopAll();
    rmSync(dir, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  }
  try {
    print(await measure(dir, options.calls), options.max);
  } finally {
    await cleanUp();
  }
}

main().catch((error: Error) => {
  console.error(`coverage:call: ${error.message}`);
  process.exitCode = 1;
});
