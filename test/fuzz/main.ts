/** The command `npm run fuzz`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fuzzWire, WIRE_OPTIONS } from '../wire/fuzz/command.ts';
import { fuzzApi } from './fuzz.ts';

const HELP = `npm run fuzz -- [options]: requests of all kinds against a gateway and the simulated OpenAI

  --count N    requests (200000)
  --seed N     seed of the first; a request is its seed (1)
  --wire       instead: the wire against node:http and undici
  --cases N    with --wire: cases of each side (100000)
  --side NAME  with --wire: requests, responses or both (both)
  --seconds N  with --wire: stop each side after so long
  --help
`;

const PROGRESS_EVERY_MS = 5000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      ...WIRE_OPTIONS,
      count: { type: 'string', default: '200000' },
      wire: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.wire) return fuzzWire(values);
  const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-fuzz-'));
  const startedMs = performance.now();
  let saidMs = startedMs;
  const onProgress = (sent: number) => {
    if (performance.now() - saidMs < PROGRESS_EVERY_MS) return;
    saidMs = performance.now();
    process.stderr.write(`${sent} of ${values.count}\n`);
  };
  try {
    const report = await fuzzApi({
      dataDir,
      firstSeed: Number(values.seed),
      count: Number(values.count),
      onProgress,
    });
    const { sent, statuses, failures, honestTurnMs, longestTurnMs, excusedTurns, heldUsd } = report;
    const { unavailable, unexplainedTurns, staleConnections } = report;
    // The suite counts requests alone: it runs on machines that have other work.
    failures.push(...unexplainedTurns);
    const lines = [
      `${sent} requests in ${Math.round((performance.now() - startedMs) / 1000)} s`,
      ...Object.entries(statuses).map(([status, count]) => `  ${String(count).padStart(9)} × ${status}`),
      `longest turn of the event loop: ${longestTurnMs.toFixed(1)} ms of CPU (honest calls: ${honestTurnMs.toFixed(1)} ms)`,
      `turns of a gateway that lacked a processor, which no request takes alone: ${excusedTurns}`,
      `ledger_unavailable, passed when repeated: ${unavailable}; connections idle for too long: ${staleConnections}`,
      `held afterwards: $${heldUsd}`,
      ...failures.map((failure) => `FAILED: ${failure}`),
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
    return failures.length > 0 ? 1 : 0;
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

process.exit(
  await main().catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION') throw error;
    process.stderr.write(`fuzz: ${error.message}\n\n${HELP}`);
    return 1;
  }),
);
