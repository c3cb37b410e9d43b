/** Stands between the client's tests, which know one key, and the gateway: gives them a team's key, prices and objects. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export const ADMIN_KEY = 'admin-key-of-the-suite';
const TRIES_MAX = 12;

export async function startAdopter(gateway: string): Promise<{ url: string; close(): void }> {
  const admin = async <T>(path: string, body: object): Promise<T> => {
    const response = await fetch(`${gateway}/admin/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  let teams = 0;
  const newTeam = async () => {
    const { id } = await admin<{ id: string }>('/teams', { name: `suite-${++teams}`, plan: null });
    await admin('/grants', { team_id: id, amount_usd: '1000000.00' });
    const { key } = await admin<{ key: string }>('/keys', { team_id: id, name: 'suite' });
    return { id, key };
  };
  let team = await newTeam();
  // Names that stand for a model.
  for (const model of ['model', 'string'])
    await admin('/prices', {
      model,
      source: 'the suite',
      input_usd: '1',
      output_usd: '1',
      per_tokens: 1_000_000,
      max_input_tokens: 100_000,
      max_output_tokens: 1000,
    });

  await admin('/prices', {
    ...{ model: 'content_provenance_check', source: 'the suite' },
    lines: [{ meter: 'provenance_checks', per: 1, rate: '0.002' }],
  });

  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    for (let tries = 0; ; tries++) {
      const headers = new Headers({ authorization: `Bearer ${team.key}` });
      for (const name of ['content-type', 'accept', 'openai-beta']) {
        const value = request.headers[name];
        if (typeof value === 'string') headers.set(name, value);
      }
      const init = { method: request.method ?? 'GET', headers, ...(body.length > 0 ? { body } : null) };
      const answer = await fetch(`${gateway}${request.url}`, init);
      const text = await answer.text();
      const unknown = /No ([\w ]+) '([^']+)' of this team/.exec(text);
      if (tries < TRIES_MAX && answer.status === 503) team = await newTeam();
      else if (tries < TRIES_MAX && answer.status === 404 && unknown !== null) {
        await admin('/objects', { id: unknown[2], kind: unknown[1]?.replace(' ', '_'), team_id: team.id });
      } else {
        response.writeHead(answer.status, {
          'content-type': answer.headers.get('content-type') ?? 'application/json',
          'x-should-retry': 'false',
        });
        response.end(text);
        return;
      }
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/v1`, close: () => server.close() };
}
