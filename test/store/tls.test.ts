/** TLS to Postgres as libpq means it, on a real server with a certificate of its own. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../src/demo/port.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { findPrograms } from '../../src/store/embedded/programs.ts';
import { temporaryFolder } from '../support/folder.ts';
import { programOrSkip, runProgram } from '../support/programs.ts';

const openssl = programOrSkip('openssl', 'openssl');
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const account = isRoot ? { uid: NOBODY, gid: NOBODY } : {};

/** Who may come in how: with and without TLS, and with a password that is sent as it is. */
const HBA = `local all all trust
hostssl all tlsonly 127.0.0.1/32 scram-sha-256
hostnossl all plain 127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 scram-sha-256
host all cleartext 127.0.0.1/32 password
`;

describe.skipIf(openssl.missing)('a server with TLS', () => {
  let folder: string;
  let port: number;
  let run: (program: string, ...args: string[]) => void;
  beforeAll(async () => {
    folder = await temporaryFolder();
    port = (await freePort(23_000 + (process.pid % 1000), '127.0.0.1'))!;
    const programs = await findPrograms({}, isRoot ? { uid: NOBODY, gid: NOBODY } : null);
    run = (program, ...args) => {
      const { status, stderr } = spawnSync(join(programs.directory, program), args, {
        cwd: folder,
        encoding: 'utf8',
        stdio: ['ignore', 'ignore', 'pipe'],
        ...account,
      });
      if (status !== 0) throw new Error(`${program}: ${stderr}`);
    };
    const data = join(folder, 'data');
    mkdirSync(data, { mode: 0o700 });
    const names = 'subjectAltName=DNS:localhost';
    const key = join(data, 'server.key');
    const certificate = join(folder, 'root.crt');
    const request = [
      'req',
      '-new',
      '-x509',
      '-days',
      '2',
      '-nodes',
      '-subj',
      '/CN=localhost',
      '-addext',
      names,
    ];
    runProgram(openssl.path, [...request, '-keyout', join(folder, 'key'), '-out', certificate]);
    if (isRoot) for (const each of [folder, data]) chownSync(each, NOBODY, NOBODY);
    run('initdb', '-D', data, '-U', 'postgres', '-E', 'UTF8', '--locale=C', '--auth=trust');
    writeFileSync(join(data, 'pg_hba.conf'), HBA);
    copyFileSync(join(folder, 'key'), key);
    copyFileSync(certificate, join(data, 'server.crt'));
    chmodSync(key, 0o600);
    if (isRoot) for (const each of [key, join(data, 'server.crt')]) chownSync(each, NOBODY, NOBODY);
    const settings = `-c ssl=on -c listen_addresses=127.0.0.1 -c port=${port} -c unix_socket_directories='${folder}'`;
    run('pg_ctl', '-D', data, '-w', '-l', join(folder, 'log'), '-o', settings, 'start');
    const sql = openClient(
      `postgres:///postgres?host=${encodeURIComponent(folder)}&port=${port}&user=postgres`,
      1,
    );
    await sql.unsafe(`alter user postgres password 'p'; create user tlsonly password 'p';
      create user plain password 'p'; create user cleartext password 'p'`);
    await closeClient(sql);
  });
  afterAll(() => run('pg_ctl', '-D', join(folder, 'data'), '-m', 'immediate', 'stop'));

  /** Whether a connection has TLS, or why there is none. */
  async function connected(user: string, query: string, hosts = `localhost:${port}`) {
    const sql = openClient(
      `postgres://${user}:p@${hosts}/postgres?${query.replaceAll('ROOT', join(folder, 'root.crt'))}`,
      1,
    );
    try {
      const [row] = await sql<{ ssl: boolean }[]>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`;
      return row!.ssl ? 'tls' : 'plain';
    } catch (error) {
      return (error as Error).message;
    } finally {
      await closeClient(sql);
    }
  }

  it.each([
    ['postgres', '', 'tls'],
    ['postgres', 'sslmode=disable', 'plain'],
    ['postgres', 'sslmode=require', 'tls'],
    ['postgres', 'sslmode=require&sslrootcert=ROOT', 'tls'],
    ['postgres', 'sslmode=require&sslrootcert=system', /needs sslmode=verify-full/],
    ['postgres', 'sslmode=verify-ca', /self-signed/],
    ['postgres', 'sslmode=verify-full', /self-signed/],
    ['postgres', 'sslmode=verify-ca&sslrootcert=ROOT', 'tls'],
    ['postgres', 'sslmode=verify-full&sslrootcert=ROOT', 'tls'],
    ['tlsonly', 'sslmode=disable', /no pg_hba.conf entry/],
    ['tlsonly', 'sslmode=allow', 'tls'],
    ['tlsonly', 'sslmode=prefer', 'tls'],
    ['plain', 'sslmode=allow', 'plain'],
    ['plain', 'sslmode=prefer', 'plain'],
    ['plain', 'sslmode=require', /no pg_hba.conf entry/],
    ['postgres', 'channel_binding=require', 'tls'],
    ['postgres', 'sslmode=disable&channel_binding=require', /the server offers none/],
    ['cleartext', '', 'tls'],
    ['cleartext', 'channel_binding=require', /the server offers none/],
  ])('%s with %s: %s', async (user, query, expected) => {
    const outcome = await connected(user, query).catch((error: Error) => error.message);
    expect(outcome).toEqual(typeof expected === 'string' ? expected : expect.stringMatching(expected));
  });

  it('the certificate is for the name or address that was connected to', async () => {
    const query = 'sslmode=verify-full&sslrootcert=ROOT';
    expect(await connected('postgres', query, `localhost:${port}`)).toBe('tls');
    // The same server, by an address that is not in its certificate.
    expect(await connected('postgres', query, `127.0.0.1:${port}`)).toMatch(
      /IP: 127\.0\.0\.1 is not in the cert/,
    );
    const chainOnly = 'sslmode=verify-ca&sslrootcert=ROOT';
    expect(await connected('postgres', chainOnly, `127.0.0.1:${port}`)).toBe('tls');
  });

  it('a host that does not respond is passed over, and when none does all are named', async () => {
    expect(await connected('postgres', '', `127.0.0.1:1,127.0.0.1:${port}`)).toBe('tls');
    expect(await connected('postgres', '', '127.0.0.1:1,127.0.0.1:2')).toMatch(
      /no host can be used: 127.0.0.1: .*; 127.0.0.1: /,
    );
  });
});
