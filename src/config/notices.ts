/** Settings of what Tollgate tells people and other programs: warnings, OpenTelemetry, the log. */
import {
  baseUrl,
  boolean,
  integer,
  mailSender,
  oneOf,
  percents,
  resourceAttributes,
  secret,
  share,
  smtpUrl,
  webhookSecret,
  webhookUrl,
} from './readers.ts';
import { setting } from './setting.ts';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export const NOTICES = {
  warningThresholds: setting(
    'TOLLGATE_WARNING_THRESHOLDS',
    '50,80,100',
    "Percents of a limit's or grant's amount at which a warning is raised.",
    percents('50,80,100'),
  ),
  webhookUrl: setting(
    'TOLLGATE_WEBHOOK_URL',
    null,
    'Where warnings are sent, a Slack webhook for example. Unset: nowhere.',
    webhookUrl('https://hooks.example.com/tollgate'),
  ),
  webhookSecret: setting(
    'TOLLGATE_WEBHOOK_SECRET',
    null,
    'Signs what is sent, as Standard Webhooks says: `whsec_` and 24 to 64 random bytes in base64. Unset: unsigned.',
    webhookSecret('the output of: echo whsec_$(openssl rand -base64 32)'),
  ),
  webhookAllowPrivate: setting(
    'TOLLGATE_WEBHOOK_ALLOW_PRIVATE',
    'false',
    'Whether the webhook may lead to loopback, link-local and private addresses.',
    boolean(),
  ),
  smtpUrl: setting(
    'TOLLGATE_SMTP_URL',
    null,
    'The mail server through which notices are sent. Unset: no mails are sent.',
    smtpUrl('smtps://tollgate:password@mail.example.com'),
  ),
  mailFrom: setting(
    'TOLLGATE_MAIL_FROM',
    null,
    'The sender of notices by mail. With `TOLLGATE_SMTP_URL`.',
    mailSender('Tollgate <tollgate@example.com>'),
  ),
  spikeTimes: setting(
    'TOLLGATE_SPIKE_TIMES',
    '5',
    "How many times a team's usual hour an hour must cost to be told of as a spike.",
    integer(2, 1_000, '5'),
  ),
  otlpEndpoint: setting(
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    null,
    'OpenTelemetry collector that gets spans and metrics of calls, as JSON over HTTP. Unset: none.',
    baseUrl('http://localhost:4318'),
  ),
  otlpHeaders: setting(
    'OTEL_EXPORTER_OTLP_HEADERS',
    null,
    'Headers for the collector, as `name=value,name=value`.',
    secret(3, 'authorization=Bearer%20…'),
  ),
  otlpResource: setting(
    'OTEL_RESOURCE_ATTRIBUTES',
    null,
    'What else is said of this gateway there, as `name=value,name=value` (percent-encoded values): `service.name` is `tollgate` unless it stands here.',
    resourceAttributes('service.name=tollgate-eu,deployment.environment.name=staging'),
  ),
  traceRatio: setting(
    'OTEL_TRACES_SAMPLER_ARG',
    '1',
    "Share of calls that get a span, from 0 to 1; a caller's `traceparent` decides for its own.",
    share('0.1'),
  ),
  logLevel: setting(
    'TOLLGATE_LOG_LEVEL',
    'info',
    `One of ${LOG_LEVELS.join(', ')}.`,
    oneOf(LOG_LEVELS, 'info'),
  ),
  logCalls: setting(
    'TOLLGATE_LOG_CALLS',
    'true',
    'Whether calls are logged, one line each up to a bounded rate. Usage events are complete either way.',
    boolean(),
  ),
} as const;
