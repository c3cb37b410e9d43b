/** The three books that must agree: the upstream's invoice, the ledger (events, counters), and the metrics. */
import type { z } from 'zod';
import type { Balance, Event } from '../../src/admin/contract.ts';
import { toFloatUsd, usd } from '../../src/domain/money.ts';
import type { InvoiceLine } from '../../src/simulator/invoice.ts';
import type { Stack } from './stack.ts';

export type UsageEvent = z.infer<typeof Event>;
export type TeamBalance = z.infer<typeof Balance>;

/** Everything the ledger says, oldest first; of one team or of all. */
export async function readEvents(stack: Stack, teamId?: string): Promise<UsageEvent[]> {
  const events: UsageEvent[] = [];
  let next: string | null = null;
  do {
    const query = new URLSearchParams({ limit: '1000' });
    if (teamId) query.set('team_id', teamId);
    if (next !== null) query.set('after', next);
    const page: { data: UsageEvent[]; next: string | null } = await stack.admin('GET', `/events?${query}`);
    events.push(...page.data);
    next = page.next;
  } while (next !== null);
  return events;
}

export function readBalance(stack: Stack, teamId: string): Promise<TeamBalance> {
  return stack.admin('GET', `/teams/${teamId}/balance`);
}

export function sumOf(events: UsageEvent[]): bigint {
  return events.reduce((sum, event) => sum + usd(event.cost_usd), 0n);
}

/** What the upstream billed in all. */
export function billed(stack: Stack): bigint {
  return BigInt(stack.simulator.invoice().total_pico_usd);
}

/** Every way in which events and invoice disagree, in words; empty when they agree. */
export function disagreements(
  events: UsageEvent[],
  lines: InvoiceLine[],
  mayBeUncertain: (event: UsageEvent, line: InvoiceLine) => boolean = (_, line) => line.fault !== null,
): string[] {
  const found: string[] = [];
  const byId = new Map(events.map((event) => [event.id, event]));
  if (byId.size !== events.length) found.push('two events bear the same id');
  // A WebSocket's lines have the id of its first call, which its handshake named; the others come in their order.
  const named = new Set(lines.map(({ client_request_id: id }) => id));
  const others = events.filter(({ id, operation }) => operation === 'responses.connect' && !named.has(id));
  for (const line of lines) {
    const id = line.client_request_id ?? '';
    const event = byId.get(id) ?? others.shift();
    byId.delete(event?.id ?? id);
    if (!event) found.push(`line ${line.line} has no event of its own: ${line.operation} ${line.fault}`);
    else
      found.push(
        ...disagreement(event, line, mayBeUncertain).map((why) => `${why}: ${describe(event, line)}`),
      );
  }
  for (const event of byId.values()) found.push(`event ${event.id} has no line`);
  return found;
}

function disagreement(
  event: UsageEvent,
  line: InvoiceLine,
  mayBeUncertain: (event: UsageEvent, line: InvoiceLine) => boolean,
): string[] {
  const found: string[] = [];
  const cost = usd(event.cost_usd);
  const bill = BigInt(line.cost_pico_usd);
  if (event.provenance === 'reported') {
    if (cost !== bill) found.push(`reported ${cost}, billed ${bill}`);
    if (bill > 0n && event.output_tokens !== line.usage.output_tokens)
      found.push('other tokens than were billed');
  } else {
    if (cost < bill) found.push(`charged ${cost}, billed ${bill}`);
    if (cost !== usd(event.hold_usd)) found.push('uncertain, but not charged at its hold');
    if (!mayBeUncertain(event, line)) found.push('uncertain without a cause');
  }
  if (bill > usd(event.hold_usd)) found.push('billed above its hold');
  if (event.upstream_request_id !== null && event.upstream_request_id !== line.request_id)
    found.push('not the upstream’s request id');
  return found;
}

function describe(event: UsageEvent, line: InvoiceLine): string {
  return `${event.operation} ${event.model} ${event.outcome}/${event.provenance}/${event.reason} fault=${line.fault} status=${line.status}`;
}

/** One metric's samples by their labels as written: `team="x"` → value. */
export async function readMetric(stack: Stack, name: string): Promise<Map<string, number>> {
  const page = await (await fetch(`${stack.app.url}/metrics`)).text();
  const samples = new Map<string, number>();
  for (const [, labels = '', value] of page.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'))) {
    samples.set(labels, Number(value));
  }
  return samples;
}

/** Whether a metric says an amount, as exactly as its text can. */
export function says(metric: number | undefined, amount: bigint): boolean {
  const wanted = toFloatUsd(amount);
  return Math.abs((metric ?? 0) - wanted) <= 1e-9 * wanted;
}
