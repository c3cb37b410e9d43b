/** The guarantees that a run can break, each as one sentence, and the assertion that checks them. */
export const RULES = {
  bound: 'never a cent over: what is spent and held in a window is at most its amount',
  lent: 'settled + held + leased is at most the amount, overruns apart',
  covered: 'what calls hold and cost is settled, held or lent in Postgres',
  counters: 'the sum of events is what the counters say',
  events: 'every forwarded call has one event, as its process reported it',
  once: 'every hold ends exactly once',
  leases: 'an instance spends what it was lent, and no more',
  moment: 'a call belongs to the window in which it was admitted',
  place: 'a call counts in the departments that its team is in',
  raise: 'a raise pays while it lasts, and beside its limit',
  replay: 'replaying any journal twice changes nothing',
  returns:
    'money that is not in flight returns from a running instance within 11 s, of one end user or tag value within 61',
  wanted: 'money that is not in flight returns within 1.5 s when another wants it',
  adoption: 'money returns at replay from a dead instance',
  denial: 'insufficient_quota is sent only when the money is spent',
  alone: 'while too much money of a team is of unknown outcome, an instance has one call of it under way',
  freed: 'an instance lets calls go side by side while little money is of unknown outcome',
  policy: 'a policy releases calls of unknown outcome of which there was no evidence for long, and no others',
  admitting: 'a healthy instance decides every call in time',
  rest: 'once all calls have ended nothing is held, lent or waiting, and what is left can be spent',
  crash: 'nothing throws',
} as const;

export type RuleName = keyof typeof RULES;

export class RuleBroken extends Error {
  override name = 'RuleBroken';
  readonly rule: RuleName;

  constructor(rule: RuleName, what: string) {
    super(`${RULES[rule]}: ${what}`);
    this.rule = rule;
  }
}

/** @throws RuleBroken unless the condition is true; `what` returns what was found instead */
export function expectThat(condition: boolean, rule: RuleName, what: () => string): void {
  if (!condition) throw new RuleBroken(rule, what());
}
