/**
 * `npm run test:sdk`: the generated tests of the official TypeScript client, at a pinned version, against a server that answers
 * each operation; once directly and once through Tollgate, with prices set and every object that they name the team's own. What
 * passes directly alone is written to docs/sdk-suite.txt, by name and reason, and from there into docs/COVERAGE.md.
 *
 * The tests are no part of this repository: they are taken from a clone (`--source FOLDER`, a checkout or a bare repository), or
 * cloned. Without either the run says that it was skipped.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ADMIN_KEY, startAdopter } from './adopter.ts';
import { startMock } from './mock.ts';

const REPOSITORY = 'https://github.com/openai/openai-node';
const TAG = 'v7.5.0';
const COMMIT = '7b7d6ca71130d37ec09792c50056b47861f2eccf';
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What tests send that is no call of the API, though their server answers everything: by how it is refused here, and why. */
const NO_CALLS: readonly [start: string, reason: string][] = [
  [
    "400 'model' must be",
    '400: it sends an empty request. Which keys may use a model, which limits count it and the most that it costs ' +
      'are decided by its name before a call is sent: without one there is nothing to hold. OpenAI takes a request without a ' +
      'model beside a prompt template that names one; here it is named as well',
  ],
  [
    "400 'max_completion_tokens' must be",
    '400, as OpenAI says too (`integer_below_min_value`): it asks for an answer of 0 tokens. It is not passed on, since other servers take 0 for no limit',
  ],
];

interface Outcome {
  status: string;
  message: string;
}

/** Unpacks the tests; returns whether there are any. */
function unpack(folder: string, source: string | undefined): boolean {
  let repository = source;
  if (repository === undefined) {
    repository = join(folder, 'clone');
    const clone = ['clone', '--quiet', '--depth', '1', '--branch', TAG, REPOSITORY, repository];
    if (spawnSync('git', clone, { stdio: 'ignore', timeout: 120_000 }).status !== 0) return false;
  }
  const archive = spawnSync('git', ['-C', repository, 'archive', COMMIT, 'tests/api-resources'], {
    maxBuffer: 64 * 1024 * 1024,
  });
  if (archive.status !== 0) return false;
  execFileSync('tar', ['-x', '-C', folder], { input: archive.stdout });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return true;
}

/** Runs the tests against a base URL; by name of file and test. */
async function run(folder: string, baseUrl: string): Promise<Map<string, Outcome>> {
  const report = join(folder, 'report.json');
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const options = [
    'run',
    '--root',
    folder,
    '--globals',
    '--maxWorkers=1',
    // A machine may have much else to do.
    '--testTimeout=60000',
    '--reporter=json',
    `--outputFile=${report}`,
  ];
  const child = spawn(process.execPath, [vitest, ...options], {
    env: { ...process.env, TEST_API_BASE_URL: baseUrl },
    stdio: 'ignore',
  });
  await once(child, 'exit');
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
    testResults: {
      name: string;
      assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
    }[];
  };
  const outcomes = new Map<string, Outcome>();
  for (const { name, assertionResults } of testResults) {
    const file = name.replace(/^.*api-resources\//, '').replace('.test.ts', '');
    for (const { fullName, status, failureMessages } of assertionResults) {
      const message = (failureMessages[0] ?? '').split('\n', 1)[0] ?? '';
      outcomes.set(`${file}: ${fullName.replace(/^resource \S+ /, '')}`, { status, message });
    }
  }
  return outcomes;
}

async function startGateway(folder: string, upstream: string) {
  const env = {
    ...process.env,
    PORT: '0',
    OPENAI_API_KEY: 'sk-mock',
    OPENAI_BASE_URL: upstream,
    TOLLGATE_DATA_DIR: join(folder, 'data'),
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
    TOLLGATE_FREE_CALLS_PER_MINUTE: '1000000',
  };
  const gateway = spawn(process.execPath, [join(ROOT, 'bin/tollgate.mjs'), 'serve'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  gateway.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  for (let tries = 0; tries < 600; tries++) {
    const url = /https?:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
    if (url !== undefined) return { gateway, url };
    await delay(100);
  }
  throw new Error(`the gateway did not start: ${said}`);
}

const { values } = parseArgs({ options: { source: { type: 'string' } } });
const folder = mkdtempSync(join(tmpdir(), 'tollgate-sdk-'));
try {
  if (!unpack(folder, values.source)) {
    process.stdout.write(
      `SKIPPED: ${REPOSITORY} at ${TAG} could not be had. Give a clone: npm run test:sdk -- --source FOLDER\n`,
    );
  } else {
    const mock = await startMock();
    const direct = await run(folder, mock.url);
    const { gateway, url } = await startGateway(folder, mock.url);
    const adopter = await startAdopter(url);
    const through = await run(folder, adopter.url);
    adopter.close();
    gateway.kill('SIGTERM');
    await once(gateway, 'exit');
    mock.close();
    report(direct, through);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function report(direct: Map<string, Outcome>, through: Map<string, Outcome>): void {
  const passed = [...direct].filter(([, { status }]) => status === 'passed').map(([name]) => name);
  const lost = passed.filter((name) => through.get(name)?.status !== 'passed');
  const reasonOf = (name: string) => {
    const message = through.get(name)?.message ?? 'it was not run';
    const refusal = /Tollgate does not forward \S+ \S+: (.*?)\.?$/.exec(message)?.[1];
    const said = message.replace(/^\w*Error: /, '');
    return refusal ?? NO_CALLS.find(([start]) => said.startsWith(start))?.[1] ?? said;
  };
  const lines = lost.map((name) => `${name} | ${reasonOf(name)}`).sort();
  const head = `# ${REPOSITORY} ${TAG}: of ${direct.size} tests ${passed.length} pass directly and ${passed.length - lost.length} through Tollgate`;
  writeFileSync(join(ROOT, 'docs/sdk-suite.txt'), `${[head, ...lines].join('\n')}\n`);
  process.stdout.write(`${[head, ...lines].join('\n')}\n`);
}
