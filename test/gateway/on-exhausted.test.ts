/** When a call that waits for a limit asks again: as soon as its own team's rules have changed, and not for another's. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { KeyCache, makeKey } from '../../src/auth/keys.ts';
import { Call, type Stopped, stopped } from '../../src/gateway/call.ts';
import { orInstead } from '../../src/gateway/on-exhausted.ts';
import { Patience } from '../../src/gateway/patience.ts';
import type { Parsed } from '../../src/gateway/stages/parse.ts';
import type { Exchange } from '../../src/wire/exchange.ts';
import { accountOf, limitOf } from '../support/accounts.ts';
import { counterSpec } from '../support/catalog.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const account = accountOf({
  limits: [limitOf('limit', '1.00', { onExhausted: { action: 'wait', maxSeconds: 60 } })],
});

test('a call that waits asks again when rules of its own team have changed, and not when those of another have', async () => {
  const { key } = makeKey();
  const keys = new KeyCache({ findKey: async () => ({ account, expiresAtMs: null, revoked: false }) });
  const exchange = { rawHeaders: ['authorization', `Bearer ${key}`], remoteAddress: '', onClose: null };
  const call = new Call(exchange as unknown as Exchange, () => {});
  await keys.find(key, call.exchange);
  const clock = { nowMs: () => Date.now(), monotonicMs: () => Date.now() };
  const via = { keys, clock, patience: new Patience() };
  const request = { operation: { billable: false }, descriptor: { name: 'chat' }, body: Buffer.alloc(0) };
  const parsed = { call, account, callKind: { endUser: null }, request, via } as unknown as Parsed;
  const counter = counterSpec('team', { sourceId: account.limits[0]!.id });
  const denial = { kind: 'denial', reason: 'insufficient', counter, ceiling: 0n } as const;
  let asked = 0;
  const waiting = orInstead(parsed, (): Stopped => {
    asked++;
    return { ...stopped(call, null, 'chat', account, null), denial };
  });
  await vi.advanceTimersByTimeAsync(1000);
  // Before it is sent it is looked at again: others may have written into its conversation.
  expect(call.hasPaused).toBe(true);
  keys.invalidate(new Set(['another']));
  await vi.advanceTimersByTimeAsync(1000);
  expect(asked).toBe(1);
  keys.invalidate(new Set(['team']));
  await vi.advanceTimersByTimeAsync(1000);
  expect(asked).toBe(2);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await waiting).toMatchObject({ denial });
});
