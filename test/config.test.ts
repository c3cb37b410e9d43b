import { readdirSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type Config, formatProblems, readConfig, SETTINGS } from '../src/config.ts';

const FIXTURES = new URL('fixtures/config/', import.meta.url);
const fixtures = readdirSync(FIXTURES).map((file) => {
  const text = readFileSync(new URL(file, FIXTURES), 'utf8');
  return { name: file.replace('.env', ''), env: parseEnv(text), expected: text.split('\n', 1)[0]!.slice(2) };
});

function accepted(env: Record<string, string | undefined>): Config {
  const result = readConfig(env);
  if (Array.isArray(result)) throw new Error(formatProblems(result));
  return result;
}

function refused(env: Record<string, string | undefined>): string {
  const result = readConfig(env);
  if (!Array.isArray(result)) throw new Error('the configuration was accepted');
  return formatProblems(result);
}

describe('a configuration without faults', () => {
  it('needs nothing from the environment', () => {
    expect(accepted({})).toEqual({
      port: 8787,
      host: '127.0.0.1',
      tlsCert: null,
      tlsKey: null,
      openaiApiKey: null,
      openaiBaseUrl: 'https://api.openai.com/v1',
      configFile: null,
      upstreamProfile: 'openai',
      upstreamLimitFields: 'both',
      upstreamFields: null,
      upstreamMaxOutputTokens: null,
      upstreamTokenizer: null,
      inputCounting: null,
      clientGone: null,
      openaiAdminKey: null,
      upstreamWebhookSecret: null,
      databaseUrl: null,
      readDatabaseUrl: null,
      pgBin: null,
      dataDir: './data',
      workers: 1,
      pgConnections: null,
      runtimeRole: null,
      adminKey: null,
      trustedProxies: null,
      metricsKey: null,
      defaultPlan: 'free-tier',
      maxBodyBytes: 20 * 1024 * 1024,
      maxBodyValues: 500_000,
      bodyMemoryBytes: 256 * 1024 * 1024,
      memoryBytes: null,
      sessionIdleMs: 600_000,
      sessionMs: 3_600_000,
      sessionsPerKey: 100,
      freeCallsPerMinute: 600,
      corsOrigins: null,
      eventsKeepMonths: null,
      archiveDir: null,
      drainTimeoutMs: 60_000,
      upstreamTimeoutMs: 600_000,
      upstreamConnections: 512,
      clientStallMs: 60_000,
      queueTimeoutMs: 10_000,
      journalKeepHours: 24,
      grantsWait: false,
      leaseTtlMs: 60_000,
      releaseUnknownAfterHours: null,
      encryptionKey: null,
      encryptionKeyFile: null,
      jobPollMs: 10_000,
      reconcileIntervalMs: 300_000,
      reconcileDelayMs: 3_600_000,
      reconcileCallDurationMs: 3_600_000,
      secretsKey: null,
      secretsKeyFile: null,
      publicUrl: null,
      oidcIssuer: null,
      oidcClientId: null,
      oidcClientSecret: null,
      oidcClientSecretFile: null,
      oidcScope: 'openid profile email',
      oidcGroupsClaim: 'groups',
      oidcAllowedDomains: null,
      reconcileFinalDays: 3,
      warningThresholds: [50, 80, 100],
      webhookUrl: null,
      webhookSecret: null,
      webhookAllowPrivate: false,
      otlpEndpoint: null,
      otlpHeaders: null,
      otlpResource: null,
      traceRatio: 1,
      smtpUrl: null,
      mailFrom: null,
      spikeTimes: 5,
      logLevel: 'info',
      logCalls: true,
    });
  });

  it('takes an empty value as unset', () => {
    const empty = Object.fromEntries(Object.values(SETTINGS).map(({ name }) => [name, '']));
    expect(accepted(empty)).toEqual(accepted({}));
  });

  it('reads each setting from the environment', () => {
    const config = accepted({
      PORT: '0',
      OPENAI_BASE_URL: 'http://localhost:9000/v1/',
      DATABASE_URL: 'postgresql://u:p%20w@db/tollgate?sslmode=require',
      TOLLGATE_ADMIN_KEY: '0123456789abcdef',
      TOLLGATE_QUEUE_TIMEOUT_MS: '0',
      TOLLGATE_LOG_CALLS: '0',
      TOLLGATE_WORKERS: 'auto',
    });
    expect(config.port).toBe(0);
    expect(config.openaiBaseUrl).toBe('http://localhost:9000/v1');
    expect(config.databaseUrl).toBe('postgresql://u:p%20w@db/tollgate?sslmode=require');
    expect(config.adminKey).toBe('0123456789abcdef');
    expect(config.queueTimeoutMs).toBe(0);
    expect(config.logCalls).toBe(false);
    expect(config.workers).toBe('auto');
    expect(accepted({ TOLLGATE_WORKERS: '4' }).workers).toBe(4);
  });

  it('cannot be changed afterwards', () => {
    expect(Object.isFrozen(accepted({}))).toBe(true);
  });
});

describe('a configuration with faults', () => {
  it.each(fixtures)('$name: tells the setting, what is wrong and an example', ({ env, expected }) => {
    expect(refused(env)).toBe(expected);
  });

  it('has a fixture for every setting that can be wrong', () => {
    const covered = new Set(fixtures.flatMap(({ env }) => Object.keys(env)));
    expect(covered).toEqual(new Set(Object.values(SETTINGS).map(({ name }) => name)));
  });

  it('reports every fault at once', () => {
    expect(refused({ PORT: 'x', HOST: ' ', TOLLGATE_LOG_LEVEL: 'loud' }).split('\n')).toHaveLength(3);
  });

  it('repeats no value, whatever setting a secret was put into', () => {
    for (const { name } of Object.values(SETTINGS)) {
      const result = readConfig({ [name]: 'sk hunter22 ' });
      expect(Array.isArray(result), name).toBe(true);
      expect(JSON.stringify(result)).not.toContain('hunter22');
    }
  });

  it('gives examples that are accepted', () => {
    // What an identity provider, a certificate, its key or a mail server cannot be without.
    const besides = {
      TOLLGATE_TLS_CERT: '/etc/tollgate/tls.crt',
      TOLLGATE_TLS_KEY: '/etc/tollgate/tls.key',
      TOLLGATE_SMTP_URL: 'smtps://mail.example.com',
      TOLLGATE_MAIL_FROM: 'tollgate@example.com',
      TOLLGATE_OIDC_CLIENT_ID: 'tollgate',
      TOLLGATE_PUBLIC_URL: 'https://tollgate.example.com',
    };
    for (const { name, reader } of Object.values(SETTINGS)) {
      if (/…|the output of/.test(reader.example)) continue;
      expect(readConfig({ ...besides, [name]: reader.example }), name).not.toBeInstanceOf(Array);
    }
  });
});
