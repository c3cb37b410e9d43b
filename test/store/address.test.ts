/** Database URLs: what libpq takes is taken, and what cannot be right is named in words that help. */
import { describe, expect, it } from 'vitest';
import { addressOf, parseDatabaseUrl, publicName } from '../../src/store/connection/address.ts';

describe('a database URL', () => {
  it('names the host, port, user, password and database', () => {
    expect(parseDatabaseUrl('postgres://ann:s%40cret%2F%23%25@db.example:6432/tollgate')).toMatchObject({
      hosts: [{ host: 'db.example', port: 6432 }],
      user: 'ann',
      password: 's@cret/#%',
      database: 'tollgate',
      tls: { mode: 'prefer', rootCert: null },
      channelBinding: 'prefer',
      wants: 'any',
      prepare: true,
    });
  });

  it.each([
    ['postgres://u@h', [['h', 5432]]],
    ['postgres://u@', [['localhost', 5432]]],
    ['postgres://u@[::1]:5433/d', [['::1', 5433]]],
    [
      'postgresql://u@[fe80::2],h:2/d',
      [
        ['fe80::2', 5432],
        ['h', 2],
      ],
    ],
    [
      'postgres://u@a:1,b:2,c/d',
      [
        ['a', 1],
        ['b', 2],
        ['c', 5432],
      ],
    ],
    [
      'postgres://u@a,b/d?port=6',
      [
        ['a', 6],
        ['b', 6],
      ],
    ],
    [
      'postgres:///d?host=a,b&port=1,2&user=u',
      [
        ['a', 1],
        ['b', 2],
      ],
    ],
    ['postgres:///d?host=/var/run/postgresql', [['/var/run/postgresql', 5432]]],
    ['postgres://u@%2Fvar%2Frun/d', [['/var/run', 5432]]],
  ])('%s: its hosts are tried in order', (url, hosts) => {
    expect(parseDatabaseUrl(url).hosts).toEqual(hosts.map(([host, port]) => ({ host, port })));
  });

  it('with several hosts wants the one that takes writes', () => {
    expect(parseDatabaseUrl('postgres://u@a,b/d').wants).toBe('read-write');
    expect(parseDatabaseUrl('postgres://u@a,b/d?target_session_attrs=any').wants).toBe('any');
    expect(parseDatabaseUrl('postgres://u@a/d?target_session_attrs=primary').wants).toBe('read-write');
  });

  it('takes the parameters of libpq', () => {
    const query = [
      'sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&channel_binding=require',
      'connect_timeout=7&application_name=gate&options=-c%20work_mem%3D8MB&schema=team_a&prepare=false&keepalives_idle=5',
    ].join('&');
    expect(parseDatabaseUrl(`postgres://u@h/d?${query}`)).toMatchObject({
      tls: { mode: 'verify-full', rootCert: '/ca.pem', cert: '/c.pem', key: '/k.pem' },
      channelBinding: 'require',
      connectTimeoutMs: 7000,
      prepare: false,
      startup: { application_name: 'gate', options: '-c work_mem=8MB', search_path: 'team_a' },
    });
    expect(parseDatabaseUrl('postgres://h/d?sslrootcert=system').tls.mode).toBe('verify-full');
  });

  it('lacking a user or password takes those of the environment', () => {
    const env = { PGUSER: 'eve', PGPASSWORD: 'p' };
    expect(parseDatabaseUrl('postgres://h/d', env)).toMatchObject({ user: 'eve', password: 'p' });
    expect(parseDatabaseUrl('postgres://a:b@h/d', env)).toMatchObject({ user: 'a', password: 'b' });
  });

  it.each([
    ['mysql://h/d', /begin with postgres/],
    ['postgres://u:p@ss@h/d', /more than one @.*%40/],
    ['postgres://u:p/ss@h/d', /@ behind the name of the host.*%2F/],
    ['postgres://u:p?ss@h/d', /@ behind the name of the host.*%3F/],
    ['postgres://u:p#ss@h/d', /a # in it.*%23/],
    ['postgres://u:p%ss@h/d', /% that begins no percent code.*%25/],
    ['postgres://u:%ff@h/d', /no UTF-8/],
    ['postgres://u@h:55x/d', /port of host 1/],
    ['postgres://u@h:70000/d', /port of host 1/],
    ['postgres://u@::1/d', /IPv6 in brackets/],
    ['postgres:///d?host=a,b&port=1,2,3', /another number of ports/],
    ['postgres://h/d?sslmode=on', /sslmode must be one of disable, allow/],
    ['postgres://h/d?sslmode=require&sslrootcert=system', /needs sslmode=verify-full/],
    ['postgres://h/d?sslmod=require', /"sslmod" is not a parameter/],
    ['postgres://h/d?connect_timeout=soon', /number of seconds/],
    ['postgres://h/d?target_session_attrs=standby', /must be one of any, read-write/],
    ['postgres://h/d?schema=A%22', /schema must be/],
    ['postgres://h/d?prepare', /has no =/],
  ])('%s: what is wrong is said, without the password', (url, message) => {
    expect(() => parseDatabaseUrl(url)).toThrow(message);
    expect(() => parseDatabaseUrl(url)).not.toThrow(/p[^a]ss/);
  });

  it('is named without its user and password', () => {
    expect(publicName('postgres://ann:secret@a,b:2/d')).toBe('a:5432,b:2/d');
    expect(publicName('postgres://ann:sec/ret@a/d')).toBe('of DATABASE_URL');
  });
});

it('a socket of the embedded server is an address', () => {
  expect(addressOf({ path: '/tmp/x/.s.PGSQL.5432', user: 'postgres', database: 'd' })).toMatchObject({
    hosts: [{ host: '/tmp/x', port: 5432 }],
    tls: { mode: 'disable' },
  });
});
