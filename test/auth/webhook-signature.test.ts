/** Signatures of webhooks: the specification's example, the time, and the same verdict as OpenAI's own library. */
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { headersProblem, isSigned, signatureOf } from '../../src/auth/webhook-signature.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const BODY = Buffer.from('{"type":"batch.completed","data":{"id":"batch_größe"}}');
const NOW_S = Math.floor(Date.now() / 1000);
const NOW_MS = NOW_S * 1000;

function signed(changes: { secret?: string; id?: string; atS?: number; body?: Buffer } = {}) {
  const { secret = SECRET, id = 'wh_1', atS = NOW_S, body = BODY } = changes;
  const timestamp = String(atS);
  return { id, timestamp, signature: `v1,${signatureOf(secret, id, timestamp, body)}` };
}

describe('a signature', () => {
  it('is that of the example in the specification', () => {
    // https://github.com/standard-webhooks/standard-webhooks, the tests of its libraries.
    const body = '{"test": 2432232314}';
    const signature = signatureOf(SECRET, 'msg_p5jXN8AQM9LWM0D4loKWxJek', '1614265330', body);
    expect(signature).toBe('g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  const good = signed();
  it.each([
    ['as it was made', good, BODY, true],
    ['beside others', { ...good, signature: `v1,AAAA v1a,x ${good.signature}` }, BODY, true],
    ['of another secret', signed({ secret: OTHER }), BODY, false],
    ['of another id', { ...good, id: 'wh_2' }, BODY, false],
    ['of another time', { ...good, timestamp: String(NOW_S - 1) }, BODY, false],
    ['of another body', good, Buffer.from(`${BODY.toString()} `), false],
    ['cut short', { ...good, signature: good.signature.slice(0, -4) }, BODY, false],
    ['that is empty', { ...good, signature: '' }, BODY, false],
    ['of another version', { ...good, signature: good.signature.replace('v1,', 'v2,') }, BODY, false],
  ])('%s: the same verdict as that of openai-node', async (_what, headers, body, isGood) => {
    expect(isSigned(SECRET, headers, body)).toBe(isGood);
    const { id, timestamp, signature } = headers;
    const sent = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
    const unwrapped = new OpenAI({ apiKey: 'none' }).webhooks.unwrap(body.toString(), sent, SECRET);
    if (isGood) expect(await unwrapped).toMatchObject({ type: 'batch.completed' });
    else await expect(unwrapped).rejects.toThrow();
  });
});

describe('headers', () => {
  it.each([
    ['now', 0, null],
    ['five minutes ago', -300, null],
    ['longer ago', -301, 'ago'],
    ['five minutes ahead', 300, null],
    ['further ahead', 301, 'ahead'],
  ])('of %s', (_when, seconds, problem) => {
    const found = headersProblem(signed({ atS: NOW_S + seconds }), NOW_MS + 999);
    if (problem === null) expect(found).toBeNull();
    else expect(found).toContain(problem);
  });

  it.each([
    ['no id', { id: undefined }, 'webhook-id'],
    ['no time', { timestamp: undefined }, 'webhook-timestamp'],
    ['no signature', { signature: undefined }, 'webhook-signature'],
    ['an empty id', { id: '' }, 'webhook-id'],
    ['an id with a blank', { id: 'a b' }, 'webhook-id'],
    ['a time in words', { timestamp: 'now' }, 'Unix time'],
    ['a time in part', { timestamp: `${NOW_S}.5` }, 'Unix time'],
  ])('with %s are refused', (_what, changes, problem) => {
    expect(headersProblem({ ...signed(), ...changes }, NOW_MS)).toContain(problem);
  });
});
