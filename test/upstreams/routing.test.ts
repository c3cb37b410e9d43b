import { describe, expect, it } from 'vitest';
import { ApiError } from '../../src/domain/errors.ts';
import { asId } from '../../src/domain/ids.ts';
import type { Principal } from '../../src/domain/limit.ts';
import { findRoute, type ParsedRequest, readRequest } from '../../src/openai/request.ts';
import { UpstreamHealth } from '../../src/upstreams/health.ts';
import { type Lane, type Routing, Upstreams } from '../../src/upstreams/routing.ts';
import { matcherOf, NamesBack } from '../../src/upstreams/target.ts';

const PRINCIPAL = { teamId: asId('00000000-0000-0000-0000-000000000001'), teamName: 'one' } as Principal;

function request(model: string, path = '/v1/chat/completions'): ParsedRequest {
  const body = path.endsWith('responses')
    ? { model, input: 'hi' }
    : { model, messages: [{ role: 'user', content: 'hi' }] };
  const route = findRoute('POST', path);
  const read = route === null ? null : readRequest(route, Buffer.from(JSON.stringify(body)));
  if (read === null || read instanceof ApiError) throw new Error('not a request');
  return read;
}

interface Options extends Partial<Omit<Lane<string>, 'target' | 'deps'>> {
  price?: number | null;
}

function lane(name: string, { price = 1, ...options }: Options = {}): Lane<string> {
  return {
    deps: name,
    target: {
      name,
      headers: [],
      modelNames: new Map(),
      usageInStreams: true,
      health: new UpstreamHealth(),
      callMs: null,
      pathOf: (path) => path,
    },
    weight: 1,
    hasResponses: true,
    serves: () => true,
    servesTeam: () => true,
    priceOf: () => price,
    wouldTake: () => true,
    ...options,
  };
}

let nowMs = 0;

/** Where so many calls go, at random numbers that are spread evenly. */
function spread(lanes: Lane<string>[], calls = 100, routing: Partial<Routing> = {}): Record<string, number> {
  let call = 0;
  const upstreams = new Upstreams<string>(
    () => nowMs,
    () => (call++ + 0.5) / calls,
  );
  upstreams.replace(lanes, { by: 'weight', attempts: 3, ...routing });
  const counts: Record<string, number> = {};
  for (let made = 0; made < calls; made++) {
    const name = String(upstreams.choose(request('m'), PRINCIPAL, []));
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe('a call', () => {
  it('takes an upstream by weight, and one of weight 0 only where there is no other', () => {
    expect(spread([lane('a', { weight: 3 }), lane('b'), lane('c', { weight: 0 })])).toEqual({ a: 75, b: 25 });
    expect(spread([lane('c', { weight: 0 })])).toEqual({ c: 100 });
    expect(spread([lane('a', { wouldTake: () => false }), lane('c', { weight: 0 })])).toEqual({ c: 100 });
  });

  it('takes the cheapest where prices decide, and none without a price', () => {
    const lanes = [lane('a', { price: 5 }), lane('b', { price: 2 }), lane('c', { price: null })];
    expect(spread(lanes, 10, { by: 'price' })).toEqual({ b: 10 });
    expect(Object.keys(spread(lanes))).toEqual(['a', 'b']);
  });

  it('takes only what serves its model and its team', () => {
    expect(spread([lane('a', { serves: () => false }), lane('b')])).toEqual({ b: 100 });
    expect(spread([lane('a', { servesTeam: () => false }), lane('b')])).toEqual({ b: 100 });
    const none = new Upstreams<string>(() => 0);
    none.replace([lane('a', { serves: () => false })], { by: 'weight', attempts: 3 });
    expect(none.choose(request('m'), PRINCIPAL, [])).toMatchObject({ code: 'not_found', param: 'model' });
  });

  it('of responses takes what has them', () => {
    const upstreams = new Upstreams<string>(() => 0);
    upstreams.replace([lane('a', { hasResponses: false }), lane('b')], { by: 'weight', attempts: 3 });
    for (let call = 0; call < 20; call++)
      expect(upstreams.choose(request('m', '/v1/responses'), PRINCIPAL, [])).toBe('b');
  });

  it('has others until it was tried as often as may be', () => {
    const [a, b] = [lane('a'), lane('b')];
    const upstreams = new Upstreams<string>(() => 0);
    upstreams.replace([a, b], { by: 'weight', attempts: 2 });
    expect(upstreams.hasOthers(request('m'), PRINCIPAL, a.target, 1)).toBe(true);
    expect(upstreams.hasOthers(request('m'), PRINCIPAL, a.target, 2)).toBe(false);
    expect(upstreams.choose(request('m'), PRINCIPAL, ['a'])).toBe('b');
    // What was made at one upstream is at no other.
    expect(upstreams.hasOthers(request('ft:gpt-4.1:org::id'), PRINCIPAL, a.target, 1)).toBe(false);
  });
});

describe('an upstream', () => {
  it('that fails three times in a row gets one call now and then, later each time', () => {
    const [a, b] = [lane('a'), lane('b')];
    const { health } = a.target;
    nowMs = 1_000;
    for (let failures = 0; failures < 3; failures++) health.failed(nowMs);
    expect(health.state).toBe('down');
    expect(spread([a, b])).toEqual({ b: 100 });
    nowMs += 2_000;
    expect(spread([a, b])).toEqual({ a: 1, b: 99 });
    health.failed(nowMs);
    nowMs += 4_000;
    expect(health.mayTake(nowMs - 1)).toBe(false);
    nowMs += 4_000;
    health.succeeded();
    expect(spread([a, b])).toEqual({ a: 50, b: 50 });
  });

  it('that dies with many calls is tried as soon as one that fails three', () => {
    const health = new UpstreamHealth();
    for (let failures = 0; failures < 50; failures++) health.failed(0);
    expect([health.mayTake(1_999), health.mayTake(2_000)]).toEqual([false, true]);
    health.chosen(2_000);
    for (let failures = 0; failures < 50; failures++) health.failed(2_000);
    expect([health.mayTake(5_999), health.mayTake(6_000)]).toEqual([false, true]);
  });

  it('that is at its limit rests for as long as it says, and half a minute at most', () => {
    const health = new UpstreamHealth();
    health.rests(5_000, 0);
    expect([health.mayTake(4_999), health.mayTake(5_000)]).toEqual([false, true]);
    health.rests(3_600_000, 0);
    expect(health.mayTake(30_000)).toBe(true);
  });

  it('that is slow, or keeps calls waiting, gets no new ones, until one finds out', () => {
    const [a, b] = [lane('a'), lane('b')];
    nowMs = 0;
    const take = (each: Lane<string>, tookMs: number) => {
      const call = {};
      each.target.health.sent(call, nowMs);
      each.target.health.responded(call, nowMs + tookMs);
    };
    take(a, 5_000);
    take(b, 100);
    expect(spread([a, b])).toEqual({ b: 100 });
    nowMs = 20_000;
    expect(spread([a, b], 2)).toEqual({ a: 1, b: 1 });
    take(a, 100);
    take(b, 100);
    expect(spread([a, b])).toEqual({ a: 50, b: 50 });
    for (let call = 0; call < 3; call++) b.target.health.sent({}, nowMs);
    nowMs += 5_000;
    expect(spread([a, b])).toEqual({ a: 100 });
  });
});

describe('names of models', () => {
  it.each([
    ['gpt-5*', 'gpt-5-mini', true],
    ['gpt-5*', 'gpt-4', false],
    ['*', 'anything', true],
    ['a*b*c', 'a-b-c', true],
    ['a*b*c', 'a-c', false],
    ['ab*ba', 'aba', false],
    ['exact', 'exact', true],
    ['exact', 'exactly', false],
  ])('%s fits %s: %s', (pattern, name, fits) => {
    expect(matcherOf([pattern])(name)).toBe(fits);
  });

  it('are the client’s in a response, and text stays as it is', () => {
    const back = new NamesBack('mine $1', 'org/their.model');
    const text = (name: string) =>
      Buffer.from(`{"model": ${JSON.stringify(name)},"text":"\\"model\\": \\"org/their.model\\" ü"}`);
    expect(back.replaced(text('org/their.model')).toString()).toBe(text('mine $1').toString());
    const other = text('org/theirXmodel');
    expect(back.replaced(other)).toBe(other);
  });
});
