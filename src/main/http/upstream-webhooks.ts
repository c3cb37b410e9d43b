/**
 * Webhooks of upstreams: `POST /webhooks/upstream`, with several upstreams `/webhooks/upstream/{name}`. One is a hint and no more: the job
 * that it names is looked at now, and settled as ever (jobs/follow-jobs.ts). Owns: who may give it. Invariants: nothing is read from
 * an event but which job it speaks of; one that comes again, late or for an unknown job changes nothing; any replica can take it.
 */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { senderOf } from '../../admin/access.ts';
import { errorResponse, notFound } from '../../admin/route.ts';
import type { ClientAddresses } from '../../auth/addresses.ts';
import { Attempts } from '../../auth/attempts.ts';
import { headersProblem, isSigned } from '../../auth/webhook-signature.ts';
import { apiError } from '../../domain/errors.ts';
import type { JobKind } from '../../domain/job.ts';
import { jobInEvent } from '../../openai/webhook-event.ts';
import type { UpstreamWebhookKind, UpstreamWebhookOutcome } from '../../telemetry/measurement.ts';

const ROOT = '/webhooks/upstream';
/** An event has some hundred bytes. */
const BODY_BYTES_MAX = 65_536;
/** Wrong ones from one address in a minute that get the reason. */
const FAILURES_MAX = 30;

export interface UpstreamWebhooksOptions {
  /** Returns the secret of an upstream; null: it has none, or there is no such one. @param name null: the only one */
  secretOf(name: string | null): string | null;
  /** Has a job that goes on looked at now; returns whether there is one. @param upstream null: the only one */
  lookSoonAt(job: { kind: JobKind; upstreamId: string }, upstream: string | null): Promise<boolean>;
  addresses: ClientAddresses;
  /** Milliseconds since the epoch. */
  nowMs(): number;
  onEnd(kind: UpstreamWebhookKind, outcome: UpstreamWebhookOutcome): void;
  onRefused(problem: string): void;
  onError(error: unknown): void;
}

export function createUpstreamWebhooks(options: UpstreamWebhooksOptions): Hono {
  const { secretOf, lookSoonAt, addresses, nowMs, onEnd, onRefused, onError } = options;
  const app = new Hono();
  const attempts = new Attempts(FAILURES_MAX, nowMs);

  /** Only wrong ones are counted: a right one is taken, however many others come from the same address. */
  function refuse(context: Context, problem: string): Response {
    onEnd('other', 'refused');
    const address = addresses.of(senderOf(context));
    const retryAfterMs = attempts.waitMs(address);
    if (retryAfterMs > 0)
      return errorResponse(context, apiError('rate_limit_exceeded', TOO_MANY, { retryAfterMs }));
    attempts.failed(address);
    onRefused(problem);
    return errorResponse(context, apiError('invalid_request', problem));
  }

  /** Returns the bytes of the body; the response where they are too many, or break off. */
  async function bodyOf(context: Context): Promise<Buffer | Response> {
    let body = Buffer.alloc(0);
    try {
      const tooLarge = await limited(context, async () => {
        body = Buffer.from(await context.req.arrayBuffer());
      });
      return tooLarge ?? body;
    } catch {
      // Its sender has left: nothing was wrong with what it sent, so it does not count as a wrong one.
      onEnd('other', 'refused');
      return errorResponse(context, BROKE_OFF);
    }
  }

  async function take(context: Context, upstream: string | null): Promise<Response> {
    const secret = secretOf(upstream);
    if (secret === null) return errorResponse(context, notFound(context));
    const headers = {
      id: context.req.header('webhook-id'),
      timestamp: context.req.header('webhook-timestamp'),
      signature: context.req.header('webhook-signature'),
    };
    const problem = headersProblem(headers, nowMs());
    if (problem !== null) return refuse(context, problem);
    const body = await bodyOf(context);
    if (body instanceof Response) return body;
    if (!isSigned(secret, headers, body)) return refuse(context, NOT_SIGNED);
    const job = jobInEvent(body);
    if (job === null) onEnd('other', 'no_job');
    else {
      try {
        onEnd(job.kind, (await lookSoonAt(job, upstream)) ? 'due' : 'no_job');
      } catch (error) {
        // The upstream sends it again.
        onEnd(job.kind, 'failed');
        onError(error);
        return errorResponse(context, UNAVAILABLE);
      }
    }
    return context.json({ received: true });
  }

  app.post(ROOT, (context) => take(context, null));
  app.post(`${ROOT}/:name`, (context) => take(context, context.req.param('name')));
  return app;
}

const NOT_SIGNED =
  "webhook-signature is not of this upstream's secret: TOLLGATE_UPSTREAM_WEBHOOK_SECRET, or webhook_secret in the file";
const TOO_MANY = 'too many wrong webhooks from here: wait a minute';
const TOO_LARGE = apiError('request_too_large', `a webhook of more than ${BODY_BYTES_MAX} bytes`);
const BROKE_OFF = apiError('invalid_request', 'the body broke off');
const limited = bodyLimit({
  maxSize: BODY_BYTES_MAX,
  onError: (context) => errorResponse(context, TOO_LARGE),
});
const UNAVAILABLE = apiError('ledger_unavailable', 'the database cannot be reached: send it again');
