/** A real Prometheus on this machine, with the rules of the repository, for as long as a test runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../src/demo/port.ts';

const RULES = new URL('../../grafana/prometheus/', import.meta.url);
const READY_WITHIN_MS = 60_000;

export interface Prometheus {
  /** The values of this moment, of all series. */
  query(expr: string): Promise<number[]>;
  /** The values of the last minutes, of all series. */
  queryRange(expr: string, minutes: number): Promise<number[]>;
  stop(): Promise<void>;
}

export interface Running {
  address: string;
  stop(): Promise<void>;
}

/** A moment and the value's text. */
type Point = [number, string];
interface Series {
  value?: Point;
  values?: Point[];
}

/** Scrapes and evaluates every second: what takes minutes in production takes seconds here. */
export async function startPrometheus(
  program: string,
  folder: string,
  target: string,
  alertmanager?: string,
): Promise<Prometheus> {
  for (const name of ['recording.yml', 'alerts.yml']) {
    const rules = readFileSync(new URL(name, RULES), 'utf8');
    writeFileSync(join(folder, name), rules.replaceAll(/interval: \d+s/g, 'interval: 1s'));
  }
  const config = `
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [recording.yml, alerts.yml]
scrape_configs:
  - job_name: tollgate
    static_configs: [{ targets: ['${target}'] }]
${alertmanager ? `alerting: { alertmanagers: [{ static_configs: [{ targets: ['${alertmanager}'] }] }] }` : ''}
`;
  writeFileSync(join(folder, 'prometheus.yml'), config);
  const port = (await freePort(19_000 + (process.pid % 1000), '127.0.0.1'))!;
  const child = spawn(
    program,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const url = `http://127.0.0.1:${port}`;
  await ready(`${url}/-/ready`);

  async function ask(path: string, parameters: Record<string, string>): Promise<number[]> {
    const response = await fetch(`${url}/api/v1/${path}`, {
      method: 'POST',
      body: new URLSearchParams(parameters),
    });
    const answer = (await response.json()) as { error?: string; data?: { result: Series[] } };
    if (!answer.data) throw new Error(`${answer.error}: ${parameters.query}`);
    return answer.data.result.flatMap(({ value, values = [value!] }) =>
      values.map(([, text]) => Number(text)),
    );
  }

  return {
    query: (query) => ask('query', { query }),
    queryRange(query, minutes) {
      const now = Date.now() / 1000;
      return ask('query_range', { query, start: String(now - minutes * 60), end: String(now), step: '1' });
    },
    stop: () => stopped(child),
  };
}

/** A real Alertmanager with the repository's configuration, which tells this webhook of alerts after a second. */
export async function startAlertmanager(
  program: string,
  folder: string,
  webhookUrl: string,
): Promise<Running> {
  for (const name of ['start.sh', 'alertmanager.yml']) {
    const text = readFileSync(new URL(`../alertmanager/${name}`, RULES), 'utf8');
    writeFileSync(join(folder, name), text.replaceAll(/group_wait: \d+s/g, 'group_wait: 1s'));
  }
  const port = (await freePort(20_000 + (process.pid % 1000), '127.0.0.1'))!;
  const address = `127.0.0.1:${port}`;
  const child = spawn(
    'sh',
    [
      join(folder, 'start.sh'),
      `--web.listen-address=${address}`,
      '--cluster.listen-address=',
      `--storage.path=${join(folder, 'alerts')}`,
      '--log.level=error',
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        PATH: process.env.PATH,
        ALERTMANAGER: program,
        ALERT_CONFIG: join(folder, 'made.yml'),
        ALERT_WEBHOOK_URL: webhookUrl,
      },
    },
  );
  await ready(`http://${address}/-/ready`);
  return { address, stop: () => stopped(child) };
}

async function stopped(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM');
  if (child.exitCode === null) await once(child, 'exit');
}

async function ready(url: string): Promise<void> {
  for (const until = performance.now() + READY_WITHIN_MS; performance.now() < until; await delay(100)) {
    const response = await fetch(url).catch(() => null);
    if (response?.ok) return;
  }
  throw new Error(`no answer from ${url}`);
}
