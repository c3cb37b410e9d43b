import { beforeEach, describe, expect, it } from 'vitest';
import type { UnknownCall } from '../../src/domain/budget.ts';
import { ApiError } from '../../src/domain/errors.ts';
import { asId, type TeamId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { Breaker, type Pass, SUCCESSES_PER_FAILURE } from '../../src/gateway/breaker.ts';
import { accountOf, grantOf, limitOf } from '../support/accounts.ts';

let nowMs: number;
let breaker: Breaker;
let changes: string[];
beforeEach(() => {
  nowMs = 0;
  changes = [];
  breaker = new Breaker({
    monotonicMs: () => nowMs,
    onChange: (teamId, isOpen) => changes.push(`${teamId ?? 'upstream'} ${isOpen ? 'opens' : 'closes'}`),
  });
});

const KIND = { model: 'gpt-5', endUser: null };
const team = (id: string): TeamId => asId(id);
let requests = 0;
/** Each call is of a prompt of its own, unless it names one. */
const enter = (id = 'a', prompt = `prompt ${'x'.repeat(++requests)}`) =>
  breaker.enter(accountOf({ teamId: id }), KIND, 0, Buffer.from(prompt));
const passOf = (entered: Pass | ApiError): Pass => {
  expect(entered).not.toBeInstanceOf(ApiError);
  return entered as Pass;
};
const errorOf = (entered: Pass | ApiError): ApiError => {
  expect(entered).toBeInstanceOf(ApiError);
  return entered as ApiError;
};
/** A call of a team that passes and ends so. */
function call(id: string, answered: 'answered' | 'failed' | 'neither', pass = passOf(enter(id))): void {
  breaker.ended(team(id), answered, pass, null);
  breaker.leave(pass);
}
const succeed = (calls: number) => {
  for (let made = 0; made < calls; made++)
    if (++breaker.successes % SUCCESSES_PER_FAILURE === 0) breaker.countedMore();
};
const failTwice = (id: string) => {
  call(id, 'failed');
  call(id, 'failed');
};

describe("a team's circuit", () => {
  it('opens after two unknown outcomes in a row, for this team alone', () => {
    call('a', 'failed');
    call('a', 'answered');
    call('a', 'failed');
    expect(changes).toEqual([]);
    call('a', 'failed');
    expect(changes).toEqual(['a opens']);
    expect(errorOf(enter('a'))).toMatchObject({ code: 'upstream_unavailable', retryAfterMs: 10_000 });
    passOf(enter('b'));
    expect([breaker.openTeams, breaker.isUpstreamOpen]).toEqual([1, false]);
  });

  it('is not moved by calls that say nothing of the upstream', () => {
    call('a', 'failed');
    call('a', 'neither');
    expect(changes).toEqual([]);
    call('a', 'failed');
    expect(changes).toEqual(['a opens']);
  });

  it('lets one probe through, ten seconds after the last call that it turned away', () => {
    failTwice('a');
    nowMs = 6_000;
    errorOf(enter());
    nowMs = 15_999;
    expect(errorOf(enter()).retryAfterMs).toBe(10_000);
    nowMs = 25_999;
    const probe = passOf(enter());
    expect(errorOf(enter())).toMatchObject({ code: 'upstream_unavailable', retryAfterMs: 2_000 });
    call('a', 'answered', probe);
    expect(changes).toEqual(['a opens', 'a closes']);
    passOf(enter());
    passOf(enter());
  });

  it('lets one through after half a minute where clients do not wait, then ever later', () => {
    failTwice('a');
    for (nowMs = 1_000; nowMs < 30_000; nowMs += 1_000) errorOf(enter());
    call('a', 'failed');
    for (nowMs = 31_000; nowMs < 90_000; nowMs += 1_000) errorOf(enter());
    call('a', 'failed');
    expect(errorOf(enter()).retryAfterMs).toBeGreaterThan(30_000);
  });

  it('lets no request through as a probe that failed before, in whatever order its members stand', () => {
    call('a', 'failed');
    call('a', 'failed', passOf(enter('a', '{"a":1,"b":2}')));
    nowMs = 30_000;
    expect(errorOf(enter('a', '{"b":2,"a":1}')).retryAfterMs).toBe(60_000);
    breaker.leave(passOf(enter('a', '{"c":3}')));
    nowMs = 1_800_000;
    passOf(enter('a', '{"b":2,"a":1}'));
  });

  it('gives the place of a probe back that was not sent', () => {
    failTwice('a');
    nowMs = 30_000;
    breaker.leave(passOf(enter()));
    call('a', 'answered');
    expect(breaker.openTeams).toBe(0);
  });

  it('is closed by any call of the team that succeeds, and forgotten', () => {
    const early = passOf(enter());
    failTwice('a');
    call('a', 'answered', early);
    expect([breaker.openTeams, breaker.watched]).toEqual([0, 0]);
  });
});

describe("the upstream's circuit", () => {
  it('opens when calls of two teams fail and no call succeeds in between', () => {
    call('a', 'failed');
    call('c', 'answered');
    call('b', 'failed');
    expect(breaker.isUpstreamOpen).toBe(false);
    call('a', 'failed');
    expect(breaker.isUpstreamOpen).toBe(true);
    expect(errorOf(enter('d'))).toMatchObject({
      code: 'upstream_unavailable',
      details: { scope: 'upstream' },
    });
  });

  it('of a busy upstream needs more failures in a row, because two are chance there', () => {
    succeed(400);
    for (let failed = 0; failed < 9; failed++) call(`team ${failed}`, 'failed');
    expect(breaker.isUpstreamOpen).toBe(false);
    call('team 9', 'failed');
    expect(breaker.isUpstreamOpen).toBe(true);
  });

  it('is not kept closed by what succeeded long before', () => {
    succeed(400);
    nowMs = 20_000;
    call('a', 'failed');
    call('b', 'failed');
    expect(breaker.isUpstreamOpen).toBe(true);
  });

  it('does not open for one team, however often it fails', () => {
    for (let minute = 0; minute < 20; minute++) {
      nowMs = minute * 600_000;
      call('a', 'failed');
    }
    expect(breaker.isUpstreamOpen).toBe(false);
    passOf(enter('b'));
  });

  it('does not open for failures that lie far apart', () => {
    call('a', 'failed');
    nowMs = 60_001;
    call('b', 'failed');
    expect(breaker.isUpstreamOpen).toBe(false);
  });

  it('lets one call of all teams through as a probe, and closes when it succeeds', () => {
    call('a', 'failed');
    call('b', 'failed');
    nowMs = 10_000;
    const probe = passOf(enter('c'));
    errorOf(enter('d'));
    call('c', 'answered', probe);
    passOf(enter('d'));
    expect(changes).toEqual(['upstream opens', 'upstream closes']);
  });
});

describe('unknown money', () => {
  const unknown = (id: string, charged: string, changed: Partial<UnknownCall> = {}): UnknownCall => ({
    id: asId(id),
    keyId: asId('key-1'),
    model: 'gpt-5',
    endUser: null,
    admittedMs: 0,
    charged: usd(charged),
    ...changed,
  });
  const limits = [limitOf('limit', '10.00')];
  const asked = (changes: Parameters<typeof accountOf>[0]) =>
    breaker.enter(accountOf({ teamId: 'team', ...changes }), KIND, 0, Buffer.from('x'));

  it('up to a tenth of a limit, or its largest hold, leaves calls side by side', () => {
    for (const calls of [[unknown('1', '0.50'), unknown('2', '0.50')], [unknown('1', '7.00')]]) {
      passOf(asked({ limits, unknown: calls }));
      passOf(asked({ limits, unknown: calls }));
    }
    const held = [limitOf('limit', '10.00', { maxHold: usd('3.00') })];
    expect(
      passOf(asked({ limits: held, unknown: [unknown('1', '1.50'), unknown('2', '1.50')] })),
    ).toMatchObject({
      isAlone: false,
    });
  });

  it('above it, calls go one at a time, and the error says which events and how to release them', () => {
    const calls = [unknown('1', '0.60'), unknown('2', '0.60')];
    const alone = passOf(asked({ limits, unknown: calls }));
    const error = errorOf(asked({ limits, unknown: calls }));
    expect(error).toMatchObject({
      code: 'rate_limit_exceeded',
      details: {
        limit_id: 'limit',
        unknown_usd: '1.20',
        max_unknown_usd: '1.00',
        unknown_events: ['2', '1'],
      },
    });
    expect(error.message).toContain('POST /admin/v1/unknown/release {"filter": {"team_id": "team"}');
    breaker.leave(alone);
    passOf(asked({ limits, unknown: calls }));
  });

  it('counts what this instance has recorded itself until Postgres has it', () => {
    for (const id of ['1', '2']) breaker.ended(team('team'), 'neither', null, unknown(id, '0.60'));
    passOf(asked({ limits }));
    errorOf(asked({ limits, unknown: [unknown('1', '0.60')] }));
    // An hour may pass: by time alone nothing is in Postgres.
    nowMs = 3_600_000;
    breaker.forgetBefore(0);
    errorOf(asked({ limits }));
    breaker.forgetBefore(1);
    passOf(asked({ limits }));
    expect(breaker.watched).toBe(0);
  });

  it('says which teams are to be read again, and forgets no call of which Postgres may not know', () => {
    breaker.ended(team('other'), 'neither', null, unknown('0', '0.60'));
    nowMs = 10;
    breaker.ended(team('team'), 'neither', null, unknown('1', '0.60'));
    nowMs = 20;
    breaker.ended(team('team'), 'neither', null, unknown('2', '0.60'));
    expect([...breaker.recordedBefore(10)]).toEqual(['other']);
    breaker.forgetBefore(20);
    expect([...breaker.recordedBefore(30)]).toEqual(['team']);
    const read = [unknown('1', '0.60')];
    expect(passOf(asked({ limits, unknown: read })).isAlone).toBe(true);
    errorOf(asked({ limits, unknown: read }));
  });

  it('forgets what was released at once, once its event was in Postgres', () => {
    for (const id of ['1', '2']) breaker.ended(team('team'), 'neither', null, unknown(id, '0.60'));
    passOf(asked({ limits }));
    errorOf(asked({ limits }));
    breaker.forgetBefore(1);
    expect(passOf(asked({ limits })).isAlone).toBe(false);
    expect(breaker.watched).toBe(0);
  });

  it.each([
    ['a limit of its own', { limits: [limitOf('l', '10.00', { maxUnknown: usd('5.00') })] }, false],
    ['a limit that bears none', { limits: [limitOf('l', '10.00', { maxUnknown: 0n })] }, true],
    ['a grant', { grants: [grantOf('g', '10.00')] }, true],
    ['a large grant', { grants: [grantOf('g', '100.00')] }, false],
    ['a grant that bears more', { grants: [grantOf('g', '10.00', { maxUnknown: usd('5.00') })] }, false],
    ['a large grant that bears none', { grants: [grantOf('g', '100.00', { maxUnknown: 0n })] }, true],
    ['two grants together', { grants: [grantOf('g', '6.00'), grantOf('h', '6.00')] }, false],
    ['no budget', { unlimited: true }, false],
    ['a limit of tokens', { limits: [limitOf('l', '10.00', { meter: 'tokens' })] }, false],
    ['a limit of another model', { limits: [limitOf('l', '10.00', { models: ['gpt-4o'] })] }, false],
    [
      'a limit of another key',
      { limits: [limitOf('l', '10.00', { subject: { type: 'key', id: asId('key-2') } })] },
      false,
    ],
  ])('are one at a time under %s, or not', (_, account, isAlone) => {
    const calls = [unknown('1', '0.60'), unknown('2', '0.60')];
    expect(passOf(asked({ ...account, unknown: calls })).isAlone).toBe(isAlone);
  });
});
