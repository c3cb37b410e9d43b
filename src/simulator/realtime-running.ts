/** A response under way: billed before its first event, sent at its pace, cancelled or finished once. */
import type { ApiError } from './errors.ts';
import { isApiError } from './errors.ts';
import { htmlStatus } from './faults.ts';
import type { InvoiceLine } from './invoice.ts';
import { lineUsage, type RealtimeModel, type RealtimeUsage, saidUsage } from './realtime-bill.ts';
import type { Conversation, Item } from './realtime-conversation.ts';
import {
  type PacedEvent,
  planResponse,
  type ResponsePlan,
  responseEvents,
  usageAfter,
  type Wanted,
  writtenItem,
} from './realtime-response.ts';
import type { Session, Work } from './socket.ts';

/** The session that a response is of. */
export interface ResponseHost {
  readonly session: Session;
  readonly conversation: Conversation;
  readonly conversationId: string;
  newId(prefix: string): string;
  send(type: string, fields: object): void;
  markRead(items: readonly Item[]): void;
  /** `audioMs`: of what was spoken. */
  ended(response: RunningResponse, audioMs: number): void;
}

type Status = 'in_progress' | 'completed' | 'incomplete' | 'cancelled' | 'failed';

const FAULT_ERRORS: readonly string[] = ['rate_limit', 'insufficient_quota', 'server_error'];

export class RunningResponse {
  readonly id: string;
  /** Why there is none; null: it runs. */
  readonly error: ApiError | null;
  readonly #realtime: ResponseHost;
  readonly #work: Work;
  readonly #wanted: Wanted;
  readonly #plan: ResponsePlan | null;
  readonly #faultError: ApiError | null;
  readonly #itemId: string;
  readonly #callId: string;
  #item: Item | null = null;
  #line: InvoiceLine | null = null;
  #written = 0;
  #hasEnded = false;
  #stop: () => void = () => {};

  constructor(realtime: ResponseHost, work: Work, model: RealtimeModel, wanted: Wanted) {
    this.#realtime = realtime;
    this.#work = work;
    this.#wanted = wanted;
    this.id = realtime.newId('resp_');
    this.#itemId = realtime.newId('item_');
    this.#callId = realtime.newId('call_');
    const plan = planResponse(realtime.session, work, model, wanted);
    const failed = isApiError(plan) ? plan : null;
    // A fault's error is a response that failed; what cannot be asked for is no response.
    const isFault = failed !== null && FAULT_ERRORS.includes(work.fault?.name ?? '');
    this.#faultError = isFault ? failed : null;
    this.error = isFault ? null : failed;
    this.#plan = isApiError(plan) ? null : plan;
  }

  start(): void {
    const { session } = this.#realtime;
    const plan = this.#plan;
    if (plan === null) {
      this.#line = session.bill(this.#work, this.#faultError?.status ?? 500, 0n);
      this.#sendState('response.created', 'in_progress', null);
      this.#end('failed', null);
      return;
    }
    const { fault } = this.#work;
    const isBilled = fault?.billed ?? true;
    if (isBilled) Object.assign(this.#work.entry, { usage: lineUsage(plan.usage), service_tier: 'default' });
    const cost = isBilled ? plan.costOf(plan.usage) : 0n;
    const isLost =
      fault?.name === 'hang' ||
      fault?.name === 'cut_before_headers' ||
      (fault !== null && htmlStatus(fault.name) !== null);
    this.#line = session.bill(this.#work, isLost ? null : 200, cost);
    if (isLost) {
      if (fault?.name !== 'hang') session.cut();
      return;
    }
    this.#write(plan);
  }

  #write(plan: ResponsePlan): void {
    const { conversation, session } = this.#realtime;
    const { inConversation } = this.#wanted;
    const previous = conversation.lastId;
    const fault = this.#work.fault?.name;
    this.#sendState('response.created', 'in_progress', null);
    const events = responseEvents(
      plan,
      this.id,
      this.#itemId,
      this.#callId,
      previous,
      inConversation,
      this.#work,
    );
    if (inConversation) {
      this.#item = writtenItem(plan, this.#itemId, this.#callId, 0, false);
      conversation.add(this.#item, null);
    }
    const isCut = fault === 'cut_mid_stream' || fault === 'failed';
    const sent: PacedEvent[] = isCut ? events.slice(0, events.length >> 1) : events;
    const send = (at: number): void => {
      const { event, written } = sent[at] ?? { event: {}, written: 0 };
      this.#written = written;
      this.#realtime.send(String(event.type), event);
    };
    this.#stop = session.pace(this.#work, sent.length, send, () => {
      if (fault === 'cut_mid_stream') session.cut();
      else if (fault === 'failed') this.#end('failed', null);
      else this.#end(plan.cut ? 'incomplete' : 'completed', fault === 'no_usage' ? null : plan.usage);
    });
  }

  /** What was written until now is billed; at worst all that would have been. */
  cancel(reason: 'client_cancelled' | 'turn_detected'): void {
    const plan = this.#plan;
    if (this.#hasEnded || plan === null) return;
    this.#stop();
    const worst = this.#realtime.session.modeOf(this.#work) === 'worst';
    const usage = worst ? plan.usage : usageAfter(plan, this.#written);
    if (!worst) this.#amend(usage);
    this.#end('cancelled', usage, reason);
  }

  /** The client has left: what it asked for is billed, or what was written where the upstream stops with it. */
  leave(): void {
    this.#stop();
    const stops =
      this.#work.directives.stopsWithClient ?? this.#realtime.session.state.profile.stopsWithClient;
    if (stops && this.#plan !== null && !this.#hasEnded) this.#amend(usageAfter(this.#plan, this.#written));
  }

  #amend(usage: RealtimeUsage): void {
    if (this.#line === null || this.#plan === null || !(this.#work.fault?.billed ?? true)) return;
    this.#realtime.session.state.invoice.amend(this.#line, lineUsage(usage), this.#plan.costOf(usage));
  }

  #end(status: Status, usage: RealtimeUsage | null, reason: string | null = null): void {
    const plan = this.#plan;
    const { session } = this.#realtime;
    this.#hasEnded = true;
    if (this.#line !== null) this.#line.completed = true;
    const worst = session.modeOf(this.#work) === 'worst';
    if (plan !== null) {
      this.#realtime.markRead(plan.read);
      if (this.#item !== null)
        Object.assign(this.#item, writtenItem(plan, this.#itemId, this.#callId, this.#written, worst));
    }
    const isSaid = session.state.profile.usageReports !== 'never';
    this.#sendState('response.done', status, isSaid ? usage : null, reason);
    this.#realtime.ended(this, (usage?.output.audio ?? 0) * 50);
  }

  #sendState(type: string, status: Status, usage: RealtimeUsage | null, reason: string | null = null): void {
    const { body, inConversation } = this.#wanted;
    const plan = this.#plan;
    const isOver = status !== 'in_progress';
    const why = reason ?? (status === 'incomplete' ? 'max_output_tokens' : null);
    const error = this.#faultError ?? {
      type: 'server_error',
      code: null,
      message: 'The model had an error.',
    };
    const details = {
      type: status,
      ...(why === null ? {} : { reason: why }),
      ...(status === 'failed'
        ? { error: { type: error.type, code: error.code, message: error.message } }
        : {}),
    };
    const output =
      isOver && plan !== null && status !== 'failed'
        ? [writtenItem(plan, this.#itemId, this.#callId, this.#written, false).json]
        : [];
    const response = {
      object: 'realtime.response',
      id: this.id,
      status,
      status_details: isOver && status !== 'completed' ? details : null,
      output,
      conversation_id: inConversation ? this.#realtime.conversationId : null,
      output_modalities: body.output_modalities,
      max_output_tokens: body.max_output_tokens ?? 'inf',
      audio: { output: {} },
      usage: usage === null ? null : saidUsage(usage),
      metadata: body.metadata ?? null,
    };
    this.#realtime.send(type, { response });
  }
}
