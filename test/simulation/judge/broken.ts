/** The rules of the house that a run can break. Each is one sentence that the judge holds against what happened. */
export const RULES = {
  bound: 'never a cent over: what is spent and held in a window is at most its amount',
  lent: 'settled + held + leased is at most the amount, overruns apart',
  counters: 'the sum of events is what the counters say',
  events: 'every forwarded call has one event, at what its process told of it',
  once: 'every hold ends exactly once',
  leases: 'an instance spends what it was lent, and no more',
  moment: 'a call belongs to the window in which it was admitted',
  replay: 'replaying any journal twice changes nothing',
  returns: 'money that is not in flight returns from a living instance within 11 s',
  wanted: 'money that is not in flight returns within 1.5 s when another wants it',
  adoption: 'money returns at replay from a dead instance',
  denial: 'insufficient_quota is only spoken when the money is spent',
  admitting: 'a healthy instance answers every call in time',
  rest: 'when all is calm nothing is held, lent or waiting, and what is left can be spent',
  crash: 'nothing throws',
} as const;

export type RuleName = keyof typeof RULES;

export class Broken extends Error {
  override name = 'Broken';
  readonly rule: RuleName;

  constructor(rule: RuleName, what: string) {
    super(`${RULES[rule]}: ${what}`);
    this.rule = rule;
  }
}

/** @throws Broken unless the condition holds; `what` says what was found instead */
export function hold(condition: boolean, rule: RuleName, what: () => string): void {
  if (!condition) throw new Broken(rule, what());
}
