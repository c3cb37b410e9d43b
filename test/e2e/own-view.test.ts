/** Self-service of a key, and the reports of denials and errors. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { signIn } from './sessions.ts';
import { type Stack, startStack } from './stack.ts';
import { send } from './wire.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const hello = { model: 'gpt-4o-mini', max_tokens: 5, messages: [{ role: 'user', content: 'hello' }] };

async function own(key: string | null, path: string, method = 'GET', sent: unknown = undefined) {
  const headers = key === null ? [] : ['authorization', `Bearer ${key}`];
  const {
    status,
    headers: answered,
    body,
  } = await send(stack.app.url, {
    method,
    path: `/v1/tollgate${path}`,
    headers,
    ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
  });
  return { status, headers: answered, body: JSON.parse(body.toString()) };
}

describe('self-service of a key', () => {
  it('returns the balance of its team, with its own limits and no other key’s', async () => {
    const { teamId, key, keyId } = await stack.team({ grantUsd: '2', limitUsd: '1' });
    const other = await stack.admin<{ id: string; key: string }>('POST', '/keys', {
      team_id: teamId,
      name: 'other',
    });
    for (const id of [keyId, other.id]) {
      const subject = { type: 'key', id };
      const window = { type: 'lifetime' };
      await stack.admin('POST', '/limits', { subject, meter: 'cost_usd', amount: '0.5', window });
    }
    expect((await stack.post(key, '/chat/completions', hello)).status).toBe(200);
    const { status, headers, body } = await own(key, '/balance');
    expect(status).toBe(200);
    expect(headers).toHaveProperty('x-tollgate-request-id');
    expect(body).toMatchObject({ team_id: teamId, granted_usd: '2.00' });
    expect(Number(body.settled_usd)).toBeGreaterThan(0);
    const subjects = body.limits.map((limit: { subject: unknown }) => limit.subject);
    expect(subjects).toEqual(
      expect.arrayContaining([
        { type: 'team', id: teamId },
        { type: 'key', id: keyId },
      ]),
    );
    expect(subjects).toHaveLength(2);
  });

  it('returns of limits of members those on its own alone, and to its team none of strangers', async () => {
    const { teamId, key, keyId } = await stack.team({ grantUsd: '2' });
    const ids = new Map(['ada', 'bob', 'eve'].map((name) => [name, `${name} of ${teamId}`]));
    const member = (name: string) => ({ type: 'member', id: ids.get(name), team_id: null });
    await stack.admin('PATCH', `/keys/${keyId}`, { member: ids.get('ada') });
    await stack.admin('POST', '/keys', { team_id: teamId, name: 'other', member: ids.get('bob') });
    for (const name of ids.keys()) {
      const window = { type: 'lifetime' };
      await stack.admin('POST', '/limits', { subject: member(name), meter: 'cost_usd', amount: '5', window });
    }
    type Limits = { limits: { subject: { type: string } }[] };
    const membersOf = ({ limits }: Limits) =>
      limits.map(({ subject }) => subject).filter(({ type }) => type === 'member');
    expect(membersOf((await own(key, '/balance')).body)).toEqual([member('ada')]);
    const balance = await stack.admin<Limits>('GET', `/teams/${teamId}/balance`);
    expect(membersOf(balance)).toEqual([member('ada'), member('bob')]);
    const limits = await stack.admin<{ data: { id: string; subject: object }[] }>(
      'GET',
      '/limits?limit=1000',
    );
    for (const { id, subject } of limits.data)
      if ('type' in subject && subject.type === 'member') await stack.admin('DELETE', `/limits/${id}`);
  });

  it('returns its own usage, not that of its team', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '2' });
    const other = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'other' });
    for (const each of [key, key, other.key]) await stack.post(each, '/chat/completions', hello);
    const { status, body } = await own(key, '/usage?interval=total&group_by=model');
    expect(status).toBe(200);
    expect(body.data).toMatchObject([{ model: 'gpt-4o-mini', calls: 2 }]);
    expect(await own(key, '/usage?team_id=x')).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', param: 'team_id' } },
    });
  });

  it('shows what one of its calls cost, also a stream, and no other key’s', async () => {
    const { teamId, key, keyId } = await stack.team({ grantUsd: '2' });
    const other = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'other' });
    const response = await stack.post(key, '/chat/completions', { ...hello, stream: true });
    await response.text();
    const id = response.headers.get('x-tollgate-request-id')!;
    const { status, body } = await own(key, `/calls/${id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ id, key_id: keyId, stream: true, outcome: 'settled' });
    const line = stack.simulator.invoice().lines.find(({ client_request_id }) => client_request_id === id)!;
    expect(usd(body.cost_usd)).toBe(BigInt(line.cost_pico_usd));
    await (await stack.post(key, '/chat/completions', hello)).text();
    await (await stack.post(other.key, '/chat/completions', hello)).text();
    const list = async (query: string) => (await own(key, `/calls?${query}`)).body;
    const { data, next } = await list('limit=1');
    expect(data).toMatchObject([{ key_id: keyId, stream: false }]);
    expect(await list(`limit=1&after=${next}`)).toMatchObject({ data: [{ id, cost_usd: body.cost_usd }] });
    expect((await list('')).data).toHaveLength(2);
    expect(await own(key, '/calls?key_id=x')).toMatchObject({ status: 400 });
    for (const [who, path] of [
      [other.key, `/calls/${id}`],
      [key, '/calls/no-id'],
      [key, `/calls/${keyId}`],
    ] as const) {
      expect(await own(who, path)).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
    }
  });

  it('is not a call: nothing is forwarded, charged or counted', async () => {
    const { key } = await stack.team({ grantUsd: '2' });
    const before = stack.simulator.invoice().line_count;
    await own(key, '/balance');
    await own(key, '/usage');
    expect(stack.simulator.invoice().line_count).toBe(before);
    expect((await own(key, '/usage')).body.data).toEqual([]);
  });

  it('responds 401 in the shape of the API without a valid virtual key; the admin key is not one', async () => {
    const { key, keyId } = await stack.team();
    await stack.admin('DELETE', `/keys/${keyId}`);
    for (const wrong of [null, 'tg-x', 'admin-key-of-the-tests']) {
      for (const path of ['/balance', '/usage', '/balance?x=1']) {
        expect(await own(wrong, path)).toMatchObject({
          status: 401,
          body: { error: { type: 'invalid_request_error', code: 'invalid_api_key', param: null } },
        });
      }
    }
    expect(await own(key, '/balance')).toMatchObject({ status: 401 });
  });

  it('responds 404 at any other path, and forwards nothing', async () => {
    const { key } = await stack.team({ grantUsd: '2' });
    const before = stack.simulator.invoice().line_count;
    for (const [method, path] of [
      ['POST', '/balance'],
      ['GET', '/models'],
      ['POST', '/../chat/completions'],
    ] as const) {
      expect((await own(key, path, method)).status).toBe(404);
    }
    expect(stack.simulator.invoice().line_count).toBe(before);
  });
});

describe('labels', () => {
  it('say what was right by model, and what an accepted answer costs', async () => {
    const { teamId, key, keyId } = await stack.team({ grantUsd: '2' });
    const other = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'other' });
    const stranger = await stack.team({ grantUsd: '2' });
    const calls: { id: string; cost: bigint }[] = [];
    for (let made = 0; made < 4; made++) {
      const response = await stack.post(key, '/chat/completions', hello);
      await response.text();
      const { headers } = response;
      const cost = usd(headers.get('x-tollgate-cost-usd')!);
      calls.push({ id: headers.get('x-tollgate-request-id')!, cost });
    }
    const label = (who: string, call: number, sent: Record<string, unknown>) =>
      own(who, '/labels', 'POST', { call_id: calls[call]!.id, ...sent });
    expect(await label(key, 0, { label: 'rejected', reason: 'invents a source' })).toMatchObject({
      status: 201,
      body: { team_id: teamId, label: 'rejected', reason: 'invents a source', labeller: `key ${keyId}` },
    });
    await label(key, 1, { label: 'rejected' });
    expect((await label(key, 1, { label: 'accepted' })).body.reason).toBeNull();
    await label(other.key, 1, { label: 'accepted' });
    await label(key, 2, { label: 'accepted' });
    await stack.admin('POST', '/labels', { call_id: calls[2]!.id, label: 'edited' });

    const cost = calls.slice(0, 3).reduce((sum, call) => sum + call.cost, 0n);
    const report = (query: string) => stack.admin('GET', `/labels/report?team_id=${teamId}${query}`);
    expect(await report('')).toMatchObject({
      data: [
        {
          model: 'gpt-4o-mini',
          labelled_calls: 3,
          accepted: 1,
          edited: 1,
          rejected: 1,
          cost_usd: formatUsd(cost),
          cost_per_accepted_usd: formatUsd(cost),
          agreement: 0.5,
        },
      ],
    });
    expect(await report('&to=2026-01-01')).toMatchObject({ data: [] });
    const list = await stack.admin<{ data: { label: string }[] }>('GET', `/labels?call_id=${calls[1]!.id}`);
    expect(list.data.map((each) => each.label)).toEqual(['accepted', 'accepted']);

    expect(await label(stranger.key, 0, { label: 'accepted' })).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found' } },
    });
    const failed = await stack.post(key, '/chat/completions', hello, { 'x-simulator': 'fault=server_error' });
    expect(failed.status).toBe(500);
    const ofFailed = { call_id: failed.headers.get('x-tollgate-request-id'), label: 'accepted' };
    expect(await own(key, '/labels', 'POST', ofFailed)).toMatchObject({
      status: 409,
      body: { error: { code: 'conflict', param: 'call_id' } },
    });
    for (const [sent, param] of [
      [{ label: 'good' }, 'label'],
      [{ label: 'accepted', who: 'x' }, 'who'],
      [{ label: 'accepted', reason: '' }, 'reason'],
    ] as const) {
      const { status, body } = await label(key, 0, sent);
      expect([status, body.error.param]).toEqual([400, param]);
    }
    expect((await own(key, '/labels', 'POST', { reason: 'x'.repeat(500_001) })).status).toBe(413);
    expect((await own('tg-x', '/labels', 'POST', { label: 'accepted' })).status).toBe(401);
  });
});

interface ReportRow {
  starts_at: string;
  team_id: string;
  team_name: string;
  code: string;
  count: number;
}

describe('the reports of denials and errors', () => {
  it('count by team, code and quarter of an hour, and show a team its own alone', async () => {
    const poor = await stack.team({ limitUsd: '0.000001' });
    const other = await stack.team({ grantUsd: '1' });
    for (const _ of [1, 2, 3])
      expect((await stack.post(poor.key, '/chat/completions', hello)).status).toBe(429);
    expect((await stack.post(poor.key, '/chat/completions', { ...hello, model: 'none' })).status).toBe(400);
    expect((await stack.post(other.key, '/chat/completions', { ...hello, model: 'none' })).status).toBe(400);
    expect((await stack.post('tg-nobody', '/chat/completions', hello)).status).toBe(401);
    const ofPoor = async (kind: string) => {
      const { data } = await stack.admin<{ data: ReportRow[] }>(
        'GET',
        `/${kind}?interval=15m&group_by=team,code`,
      );
      const rows = data.filter((row) => row.team_id === poor.teamId);
      // Two rows where a quarter of an hour began meanwhile.
      const count = rows.reduce((sum, row) => sum + row.count, 0);
      for (const { starts_at } of rows) expect(Date.parse(starts_at) % 900_000).toBe(0);
      return [...new Set(rows.map(({ code, team_name }) => `${code} of ${team_name}: ${count}`))];
    };
    expect(await ofPoor('denials')).toEqual([expect.stringMatching(/^insufficient_quota of team-.*: 3$/)]);
    expect(await ofPoor('errors')).toEqual([expect.stringMatching(/^unknown_price of team-.*: 1$/)]);
    const { ask } = await signIn(stack.app.url, other.key);
    const seen = await ask('GET', '/admin/v1/errors?interval=total&group_by=team,code');
    expect(seen.body.data).toMatchObject([{ team_id: other.teamId, code: 'unknown_price', count: 1 }]);
  });
});
