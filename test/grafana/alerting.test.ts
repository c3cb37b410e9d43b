import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { METRICS } from '../../src/telemetry/names.ts';
import { temporaryFolder } from '../support/folder.ts';
import { programOrSkip, runProgram } from '../support/programs.ts';

const GRAFANA = new URL('../../grafana/', import.meta.url).pathname;
const RULES = ['recording.yml', 'alerts.yml'];
const TESTS = ['alerts.test.yml', 'alerts.days.test.yml'];
const promtool = programOrSkip('prometheus', 'promtool');
const amtool = programOrSkip('prometheus-alertmanager', 'amtool');

const cwd = join(GRAFANA, 'prometheus');
const read = (path: string) => readFileSync(join(GRAFANA, path), 'utf8');
const namesAfter = (text: string, word: string) =>
  [...text.matchAll(new RegExp(`${word}: (\\S+)`, 'g'))].map(([, name]) => name);

describe('the rules of Prometheus', () => {
  it.skipIf(promtool.missing)('are valid', () => {
    expect(runProgram(promtool.path, ['check', 'rules', ...RULES], { cwd })).toContain('SUCCESS');
  });

  it.skipIf(promtool.missing)('fire when they should and not before', () => {
    expect(runProgram(promtool.path, ['test', 'rules', ...TESTS], { cwd })).toContain('SUCCESS');
  });

  it('have a test and a line in docs/OPERATIONS.md for each alert', () => {
    const alerts = namesAfter(read('prometheus/alerts.yml'), 'alert');
    const tested = new Set(TESTS.flatMap((file) => namesAfter(read(`prometheus/${file}`), 'alertname')));
    const handbook = readFileSync(join(GRAFANA, '../docs/OPERATIONS.md'), 'utf8');
    const named = new Set([...handbook.matchAll(/`(Tollgate[A-Z]\w+)`/g)].map(([, name]) => name));
    expect(tested).toEqual(new Set(alerts));
    expect(named).toEqual(new Set(alerts));
  });

  it('query only metrics that Tollgate exposes', () => {
    const known = new Set(
      Object.entries(METRICS).flatMap(([name, { type }]) =>
        type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    for (const file of [...RULES, ...TESTS]) {
      const recorded = namesAfter(read('prometheus/recording.yml'), 'record').join(' ');
      const asked = read(`prometheus/${file}`).match(/(?<![\w:-])tollgate_\w+(?![\w:-])/g) ?? [];
      expect([...new Set(asked)].filter((name) => !known.has(name) && !recorded.includes(name))).toEqual([]);
    }
  });
});

describe('the configuration', () => {
  it.skipIf(promtool.missing)('of Prometheus is valid', () => {
    const args = ['check', 'config', '--syntax-only', 'prometheus.yml'];
    expect(runProgram(promtool.path, args, { cwd })).toContain('valid prometheus config');
  });

  it.skipIf(amtool.missing).each([
    ['as it stands', {}, 'people"?$'],
    ['with Slack', { ALERT_SLACK_URL: 'https://hooks.example/x', ALERT_SLACK_CHANNEL: '#money' }, '#money'],
    ['with a webhook', { ALERT_WEBHOOK_URL: 'http://127.0.0.1:1/alerts' }, 'webhook_configs'],
    [
      'with both',
      { ALERT_SLACK_URL: 'https://x', ALERT_WEBHOOK_URL: 'http://x' },
      'slack_configs[^]*webhook_configs',
    ],
  ])('of Alertmanager is valid %s', async (_, env, text) => {
    const config = join(await temporaryFolder(), 'alertmanager.yml');
    const start = join(GRAFANA, 'alertmanager/start.sh');
    // In place of Alertmanager, which would run for ever, amtool reads what it would have read.
    const instead = { ALERT_CONFIG: config, ALERTMANAGER: '/bin/true', PATH: process.env.PATH, ...env };
    runProgram('sh', [start], { env: instead });
    expect(runProgram(amtool.path, ['check-config', config])).toContain('SUCCESS');
    expect(readFileSync(config, 'utf8').trim()).toMatch(new RegExp(text));
  });
});
