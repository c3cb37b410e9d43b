/** What who leads a department is told. */
import { expect, test } from 'vitest';
import { ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { messageOf } from '../../src/domain/notice-message.ts';
import { notify } from '../../src/jobs/notify.ts';
import { warn } from '../../src/jobs/warn.ts';
import { openRecipients } from '../../src/store/notices.ts';
import { counterOf, createTestAdmin, createTestInstance, type Json } from '../admin/support.ts';

/** A Monday, after seven. */
const NOW = '2026-11-30T10:00:00.000Z';
const nowMs = Date.parse(NOW);
const HOUR = 3_600_000;

test('a department is told of its budgets, of its teams and of all below, and gets digests of all together', async () => {
  const at = await createTestAdmin(NOW);
  const { database } = at;
  const science = await at.make('/departments', { name: 'Science' });
  const physics = await at.make('/departments', { name: 'Physics', parent_id: science.id });
  const instance = await createTestInstance(database);
  const window = { type: 'calendar', unit: 'month', time_zone: 'UTC' };
  const limit = await at.make('/limits', {
    ...{ subject: { type: 'department', id: physics.id }, meter: 'cost_usd', amount: '100', window },
  });
  const counter = {
    ...counterOf('limit', limit, ORGANIZATION_ID, Date.UTC(2026, 10, 1), Date.UTC(2026, 11, 1)),
    amount: 0n,
  };
  const teamIn = async (name: string, departmentId: string | null, costUsd: string) => {
    const { id: teamId } = await at.make('/teams', { name, plan: null });
    await at.ask('PATCH', `/teams/${teamId}`, { department_id: departmentId });
    const { id: keyId } = await at.make('/keys', { team_id: teamId, name: `${name} app` });
    const pools = departmentId === null ? [] : [[{ counter, heldUsd: costUsd, settledUsd: costUsd }]];
    for (let day = 7; day > 0; day--)
      await instance.call({ teamId, keyId, costUsd, atMs: nowMs - day * 24 * HOUR, pools });
    return teamId;
  };
  await teamIn('optics', physics.id, '8');
  const lasers = await teamIn('lasers', physics.id, '5');
  await teamIn('sales', null, '3');
  const tell = (id: string, address: string, wants: string[]) =>
    at.make('/recipients', { subject: { type: 'department', id }, kind: 'email', address, wants });
  const head = await tell(science.id, 'head@example.com', ['warning', 'projection', 'spike', 'weekly']);
  const lead = await tell(physics.id, 'lead@example.com', ['projection']);
  expect(head.subject).toEqual({ type: 'department', id: science.id });
  // An hour of a team below that costs many times the usual.
  await instance.call({
    ...{ teamId: lasers, keyId: (await at.get(`/keys?team_id=${lasers}`)).data[0]!.id },
    ...{ costUsd: '30', atMs: nowMs - HOUR / 2, pools: [] },
  });
  await warn(database, { thresholds: [50, 80], deliver: false });
  const raised = (await notify({ database, spikeTimes: 5 })) ?? [];
  const toldTo = ({ id }: Json) =>
    raised
      .filter(({ recipientId }) => recipientId === id)
      .map(({ facts, teamId }) => [messageOf(facts, 'en', null).subject, teamId])
      .sort();
  const projected = [
    'Department Physics will have run out of money on 2026-11-30, if it goes on like this',
    ORGANIZATION_ID,
  ];
  expect(toldTo(head)).toEqual(
    [
      ['Department Physics has used 50 % of its limit: $91.00 of $100.00', ORGANIZATION_ID],
      ['Department Physics has used 80 % of its limit: $91.00 of $100.00', ORGANIZATION_ID],
      ['Department Science spent $91.00 in the week from 2026-11-23 to 2026-11-29', ORGANIZATION_ID],
      projected,
      ['Team lasers spent $30.00 within an hour, 144 times the usual', lasers],
    ].sort(),
  );
  expect(toldTo(lead)).toEqual([projected]);
  expect(await notify({ database, spikeTimes: 5 })).toEqual([]);
  // One that is gone is told nothing, and nobody can be told of it.
  const { id: gone } = await at.make('/departments', { name: 'Gone' });
  const late = await tell(gone, 'late@example.com', ['weekly']);
  expect((await openRecipients(database)).map(({ id }) => id)).toContain(late.id);
  await at.ask('DELETE', `/departments/${gone}`);
  expect((await openRecipients(database)).map(({ id }) => id)).not.toContain(late.id);
  const { status } = await at.ask('POST', '/recipients', {
    ...{ subject: { type: 'department', id: gone }, kind: 'email', address: 'a@example.com' },
  });
  expect(status).toBe(409);
  await at.close();
});
