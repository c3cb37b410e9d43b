import { describe, expect, it } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { warningBody, warningText } from '../../src/jobs/warning-message.ts';
import type { DueWarning } from '../../src/store/warning-deliveries.ts';

const OF_A_LIMIT: DueWarning = {
  id: '019aa000-0000-7000-8000-000000000001',
  teamId: asId('019aa000-0000-7000-8000-000000000002'),
  counterId: asId('019aa000-0000-7000-8000-000000000003@1793487600000'),
  threshold: 80,
  amount: '50.000000000000',
  settled: '40.120000000000',
  denied: false,
  raisedAt: '2026-11-24T10:00:00.000Z',
  attempts: 1,
  teamName: 'research',
  source: 'limit',
  sourceId: '019aa000-0000-7000-8000-000000000003',
  sourceName: null,
  subjectType: 'team',
  subjectId: '019aa000-0000-7000-8000-000000000002',
  departmentName: null,
  keyName: null,
  meter: 'cost_usd',
  models: null,
  window: { type: 'calendar', unit: 'month', timeZone: 'Europe/Berlin' },
  enforcement: 'strict',
  startsAt: '2026-10-31T23:00:00.000Z',
  endsAt: '2026-11-30T23:00:00.000Z',
};
const OF_A_GRANT: DueWarning = { ...OF_A_LIMIT, source: 'grant', window: null, enforcement: null };

describe('the text of a warning', () => {
  it.each<[Partial<DueWarning>, string]>([
    [
      {},
      'Team research has used 80 % of its limit of this month: $40.12 of $50.00. It resets at 2026-11-30T23:00:00.000Z.',
    ],
    [
      { threshold: 100, settled: '50', window: { type: 'lifetime' }, endsAt: null },
      'Team research has used 100 % of its limit: $50.00 of $50.00. Calls are denied.',
    ],
    [
      { threshold: 100, settled: '61.5', enforcement: 'soft', models: ['gpt-4o', 'o3'], endsAt: null },
      'Team research has used 100 % of its soft limit of this month for gpt-4o, o3: $61.50 of $50.00. Calls go on.',
    ],
    [
      { threshold: 100, settled: '49.9', denied: true, endsAt: null },
      'Team research has used up its limit of this month: $49.90 of $50.00. A call was denied, because it may have cost more than is left.',
    ],
    [
      { subjectType: 'key', keyName: 'notebooks', meter: 'tokens', amount: '1000000', endsAt: null },
      'Key notebooks of team research has used 80 % of its limit of this month: 40.12 tokens of 1000000 tokens.',
    ],
    [
      { subjectType: 'org', teamName: null, endsAt: null },
      'The whole installation has used 80 % of its limit of this month: $40.12 of $50.00.',
    ],
    [
      { subjectType: 'user', subjectId: 'ann', endsAt: null },
      'End user ann of team research has used 80 % of its limit of this month: $40.12 of $50.00.',
    ],
    [
      { subjectType: 'tag', subjectId: 'project=atlas', endsAt: null },
      'Tag project=atlas of team research has used 80 % of its limit of this month: $40.12 of $50.00.',
    ],
    [
      { subjectType: 'tag', subjectId: 'project=atlas', teamName: null, endsAt: null },
      'Tag project=atlas has used 80 % of its limit of this month: $40.12 of $50.00.',
    ],
  ])('says %j', (changes, text) => {
    expect(warningText({ ...OF_A_LIMIT, ...changes })).toBe(text);
  });

  it('of a grant says when it expires', () => {
    expect(warningText(OF_A_GRANT)).toBe(
      'Team research has used 80 % of its grant: $40.12 of $50.00. It expires at 2026-11-30T23:00:00.000Z.',
    );
  });

  it('escapes names, which can neither notify a channel nor make a link', () => {
    const text = warningText({ ...OF_A_LIMIT, teamName: '<!channel> & <https://evil.example|click>' });
    expect(text).toContain('Team &lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; has');
  });
});

describe('the body of a warning', () => {
  it('has the same facts as fields', () => {
    expect(JSON.parse(warningBody(OF_A_LIMIT))).toEqual({
      type: 'budget.warning',
      id: OF_A_LIMIT.id,
      timestamp: '2026-11-24T10:00:00.000Z',
      text: warningText(OF_A_LIMIT),
      team_id: OF_A_LIMIT.teamId,
      team_name: 'research',
      limit_id: OF_A_LIMIT.sourceId,
      subject: { type: 'team', id: OF_A_LIMIT.teamId },
      models: null,
      meter: 'cost_usd',
      enforcement: 'strict',
      threshold: 80,
      amount: '50.00',
      settled: '40.12',
      over_limit: '0.00',
      denied: false,
      window: { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' },
      window_starts_at: '2026-10-31T23:00:00.000Z',
      resets_at: '2026-11-30T23:00:00.000Z',
    });
  });

  it('has the excess over the amount', () => {
    const soft = { ...OF_A_LIMIT, threshold: 100, settled: '61.5', enforcement: 'soft' as const };
    expect(JSON.parse(warningBody(soft))).toMatchObject({ over_limit: '11.50' });
  });

  it('of a grant names the grant and its expiry', () => {
    const body = JSON.parse(warningBody(OF_A_GRANT));
    expect(body).toMatchObject({
      grant_id: OF_A_GRANT.sourceId,
      expires_at: OF_A_GRANT.endsAt,
      window: null,
    });
    expect(body).not.toHaveProperty('limit_id');
  });

  it('is the same at every attempt', () => {
    expect(warningBody({ ...OF_A_LIMIT, attempts: 7 })).toBe(warningBody(OF_A_LIMIT));
  });
});
