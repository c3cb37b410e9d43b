import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { startStack } from '../e2e/stack.ts';
import { temporaryFolder } from '../support/folder.ts';
import { programOrSkip } from '../support/programs.ts';
import { startAlertmanager, startPrometheus } from './prometheus.ts';

const prometheus = programOrSkip('prometheus', 'prometheus');
const alertmanager = programOrSkip('prometheus-alertmanager', 'prometheus-alertmanager', 'alertmanager');

interface Told {
  status: string;
  alerts: { labels: Record<string, string>; annotations: Record<string, string> }[];
}

it.skipIf(prometheus.missing || alertmanager.missing)(
  'a budget that is spent reaches a person: gateway, Prometheus, Alertmanager, webhook',
  async () => {
    await using back = new AsyncDisposableStack();
    const folder = await temporaryFolder();
    const webhook = createServer();
    const told = new Promise<Told>((resolve) => {
      webhook.on('request', async (request, response) => {
        const message = JSON.parse(await text(request)) as Told;
        response.end();
        if (message.alerts.some(({ labels }) => labels.alertname === 'TollgateBudgetSpent')) resolve(message);
      });
    });
    webhook.listen(0, '127.0.0.1');
    await once(webhook, 'listening');
    back.defer(() => void webhook.close());

    const stack = await startStack();
    back.defer(() => stack.stop());
    const { teamId, key } = await stack.team({ limitUsd: '5.00' });
    const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };
    expect((await stack.post(key, '/chat/completions', body)).status).toBe(200);
    await stack.settled();
    // As if all of it had been spent by many calls.
    await stack.database.sql`update counters set settled = amount where team_id = ${teamId}`;

    const { port } = webhook.address() as AddressInfo;
    const manager = await startAlertmanager(alertmanager.path, folder, `http://127.0.0.1:${port}/`);
    back.defer(() => manager.stop());
    const gateway = new URL(stack.app.url).host;
    const server = await startPrometheus(prometheus.path, folder, gateway, manager.address);
    back.defer(() => server.stop());

    const { status, alerts } = await told;
    expect(status).toBe('firing');
    expect(alerts).toMatchObject([
      {
        labels: { alertname: 'TollgateBudgetSpent', severity: 'critical', team: 'team-1' },
        annotations: { summary: 'team-1 has spent its tightest budget: its calls are denied' },
      },
    ]);
  },
  180_000,
);
