/** What a limit does instead of refusing a call: between the admin API and the domain. */
import type { z } from 'zod';
import type { ApiError } from '../domain/errors.ts';
import type { Enforcement, Meter, OnExhausted } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { Window } from '../domain/window.ts';
import type { CarryOver } from '../store/stored-json.ts';
import type { carryOver, onExhausted } from './contract/on-exhausted.ts';
import { invalid } from './route.ts';

type OnExhaustedBody = z.output<typeof onExhausted>;

/** Returns why a limit cannot do that; null: it can. A soft limit denies nothing, a rate comes back by itself, and a trained model has no cheaper one. */
export function notInstead(
  body: OnExhaustedBody | undefined,
  { meter, enforcement, type }: { meter: Meter; enforcement: Enforcement; type: Window['type'] },
): ApiError | null {
  if (body === undefined || body.action === 'refuse') return null;
  if (enforcement === 'soft') return invalid('on_exhausted', 'a soft limit denies nothing');
  const isRate = type === 'rolling' || meter === 'concurrency';
  if (body.action === 'slow_down' && isRate)
    return invalid(
      'on_exhausted.action',
      'a rate limit is a rate already: give it a lower amount, or "wait"',
    );
  if (body.action !== 'cheaper_model') return null;
  const trained = body.models.find((model) => model.startsWith('ft:'));
  if (trained === undefined) return null;
  return invalid(
    'on_exhausted.models',
    `${trained.slice(0, 100)} is fine-tuned: no call is moved to such a model`,
  );
}

/** Null: it denies. */
export function toOnExhausted(body: OnExhaustedBody): OnExhausted | null {
  switch (body.action) {
    case 'refuse':
      return null;
    case 'wait':
      return { action: 'wait', maxSeconds: body.max_seconds };
    case 'slow_down':
      return { action: 'slow_down', callsPerMinute: body.calls_per_minute, fromPercent: body.from_percent };
    case 'cheaper_model':
      return body;
  }
}

export function onExhaustedFields(rule: OnExhausted | null): OnExhaustedBody {
  switch (rule?.action) {
    case undefined:
      return { action: 'refuse' };
    case 'wait':
      return { action: 'wait', max_seconds: rule.maxSeconds };
    case 'slow_down':
      return { action: 'slow_down', calls_per_minute: rule.callsPerMinute, from_percent: rule.fromPercent };
    case 'cheaper_model':
      return rule;
  }
}

type CarryOverBody = z.output<typeof carryOver> | null;

/** Returns why a limit cannot carry over what it leaves; null: it can. */
export function notCarried(
  body: CarryOverBody | undefined,
  limit: { meter: Meter; enforcement: Enforcement; type: Window['type']; isOfEach: boolean },
): ApiError | null {
  if (!body) return null;
  const { meter, enforcement, type, isOfEach } = limit;
  if (type !== 'calendar') return invalid('carry_over', 'only a calendar window has a next one');
  if (enforcement === 'soft')
    return invalid('carry_over', 'a soft limit denies nothing: there is nothing to carry');
  if (isOfEach)
    return invalid('carry_over', 'a limit of end users, or of each value or member, carries nothing');
  if (body.max_usd === undefined || meter === 'cost_usd') return null;
  return invalid('carry_over.max_usd', 'only a limit of cost counts dollars: use max_percent');
}

export function toCarryOver(body: CarryOverBody): CarryOver | null {
  if (body?.max_usd !== undefined) return { maxUsd: body.max_usd };
  return body?.max_percent === undefined ? null : { maxPercent: body.max_percent };
}

export function carryOverFields(rule: CarryOver | null): CarryOverBody {
  if (rule === null) return null;
  if ('maxUsd' in rule) return { max_usd: formatUsd(usd(rule.maxUsd)) };
  // Earlier versions took up to 1000; no more than the amount is carried of those either (store/carry-over.ts).
  return { max_percent: Math.min(rule.maxPercent, 100) };
}
