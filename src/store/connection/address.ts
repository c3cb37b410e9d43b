/**
 * Where a database is, read from its URL by libpq's rules (https://www.postgresql.org/docs/current/libpq-connect.html):
 * several hosts, sockets, `sslmode`. Pure. Beside libpq's parameters it takes `prepare=false` and `schema=NAME`.
 */
/** How a database is reached over a unix socket. */
export interface SocketConnection {
  path: string;
  user: string;
  database: string;
}

export interface ServerHost {
  /** A name, an address, or the folder of a unix socket. */
  host: string;
  port: number;
}

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'] as const;
const ATTRIBUTES = ['any', 'read-write', 'primary'] as const;

export interface ServerAddress {
  /** Tried in this order. */
  hosts: ServerHost[];
  user: string;
  password: string;
  database: string;
  tls: {
    mode: (typeof SSL_MODES)[number];
    /** A file, or `system`: the authorities that Node trusts; null: the user's own file, if there is one. */
    rootCert: string | null;
    cert: string | null;
    key: string | null;
  };
  channelBinding: (typeof CHANNEL_BINDINGS)[number];
  wants: 'any' | 'read-write';
  /** Null: the usual time. */
  connectTimeoutMs: number | null;
  /** Settings of the server for each session. */
  startup: Record<string, string>;
  /** Whether statements may be prepared under a name; false once a pooler turned out to lose them. */
  prepare: boolean;
}

/** Why a database URL cannot be used, in words that never repeat what may be secret. */
class InvalidDatabaseUrl extends Error {
  override name = 'InvalidDatabaseUrl';
}

const DEFAULT_PORT = 5432;
const PERCENT_HINT =
  'In a user name or password write each of these characters as its percent code: % as %25, @ as %40, / as %2F, # as %23, ? as %3F, : as %3A';

/** Parameters of libpq that change nothing here: each is either always so, or about programs that people sit at. */
const IGNORED = new Set([
  'client_encoding',
  'fallback_application_name',
  'gssencmode',
  'keepalives',
  'keepalives_count',
  'keepalives_idle',
  'keepalives_interval',
  'sslcompression',
  'sslsni',
  'tcp_user_timeout',
]);

/**
 * Reads a database's URL.
 * @param env where a user or password that the URL lacks is looked for: PGUSER, PGPASSWORD
 * @throws InvalidDatabaseUrl
 */
export function parseDatabaseUrl(url: string, env: Record<string, string | undefined> = {}): ServerAddress {
  const { authority, path, params } = split(url);
  const at = authority.lastIndexOf('@');
  const [name = '', ...rest] = at < 0 ? [] : authority.slice(0, at).split(':');
  const take = (key: string) => {
    const value = params.get(key);
    params.delete(key);
    return value === undefined || value === '' ? null : value;
  };
  const choice = <Choice extends string>(
    key: string,
    choices: readonly Choice[],
    otherwise: Choice,
  ): Choice => {
    const value = take(key);
    if (value === null) return otherwise;
    const found = choices.find((each) => each === value);
    if (found === undefined) throw new InvalidDatabaseUrl(`${key} must be one of ${choices.join(', ')}`);
    return found;
  };
  const user = take('user') ?? (decode(name) || env.PGUSER || 'postgres');
  const password = take('password') ?? (decode(rest.join(':')) || env.PGPASSWORD || '');
  const database = take('dbname') ?? (decode(path) || user);
  const hosts = hostsOf(take('host') ?? decode(authority.slice(at + 1)), take('port'));
  const rootCert = take('sslrootcert');
  const mode = choice('sslmode', SSL_MODES, rootCert === 'system' ? 'verify-full' : 'prefer');
  if (rootCert === 'system' && mode !== 'verify-full') {
    throw new InvalidDatabaseUrl('sslrootcert=system needs sslmode=verify-full');
  }
  const timeout = take('connect_timeout');
  if (timeout !== null && !/^\d{1,4}$/.test(timeout)) {
    throw new InvalidDatabaseUrl('connect_timeout must be a number of seconds');
  }
  const wants = choice('target_session_attrs', ATTRIBUTES, hosts.length > 1 ? 'read-write' : 'any');
  const address: ServerAddress = {
    hosts,
    user,
    password,
    database,
    tls: { mode, rootCert, cert: take('sslcert'), key: take('sslkey') },
    channelBinding: choice('channel_binding', CHANNEL_BINDINGS, 'prefer'),
    wants: wants === 'any' ? 'any' : 'read-write',
    connectTimeoutMs: timeout === null || Number(timeout) === 0 ? null : Number(timeout) * 1000,
    startup: startupOf(take('application_name'), take('options'), take('schema')),
    prepare: choice('prepare', ['true', 'false'], 'true') === 'true',
  };
  for (const key of IGNORED) params.delete(key);
  const [unknown] = params.keys();
  if (unknown !== undefined) {
    throw new InvalidDatabaseUrl(
      `${JSON.stringify(unknown)} is not a parameter of a database URL. Settings of the server go into options, as in options=-c%20work_mem%3D8MB`,
    );
  }
  return address;
}

/** Of a unix socket: what an embedded server has. */
export function addressOf(connection: string | SocketConnection): ServerAddress {
  if (typeof connection === 'string') return parseDatabaseUrl(connection, process.env);
  const { path, user, database } = connection;
  const [, folder = '/', port = ''] = /^(.*)\/\.s\.PGSQL\.(\d+)$/.exec(path) ?? [];
  return {
    hosts: [{ host: folder, port: Number(port) }],
    user,
    password: '',
    database,
    tls: { mode: 'disable', rootCert: null, cert: null, key: null },
    channelBinding: 'disable',
    wants: 'any',
    connectTimeoutMs: null,
    startup: { application_name: 'tollgate' },
    prepare: true,
  };
}

/** The hosts and the database, without what may be secret. */
export function publicName(url: string): string {
  try {
    const { hosts, database } = parseDatabaseUrl(url);
    return `${hosts.map(({ host, port }) => (host.startsWith('/') ? host : `${host}:${port}`)).join(',')}/${database}`;
  } catch {
    return 'of DATABASE_URL';
  }
}

function split(url: string) {
  const [, body] = /^postgres(?:ql)?:\/\/(.*)$/s.exec(url) ?? [];
  if (body === undefined) throw new InvalidDatabaseUrl('it must begin with postgres:// or postgresql://');
  if (/[\s#]/.test(body)) throw new InvalidDatabaseUrl(`it has a space or a # in it. ${PERCENT_HINT}`);
  if (/%(?![0-9a-fA-F]{2})/.test(body))
    throw new InvalidDatabaseUrl(`it has a % that begins no percent code. ${PERCENT_HINT}`);
  const [place = '', ...queries] = body.split('?');
  const slash = place.indexOf('/');
  const authority = slash < 0 ? place : place.slice(0, slash);
  const path = slash < 0 ? '' : place.slice(slash + 1);
  const query = queries.join('?');
  if (path.includes('@') || query.includes('@')) {
    throw new InvalidDatabaseUrl(`it has an @ behind the name of the host. ${PERCENT_HINT}`);
  }
  if (authority.split('@').length > 2)
    throw new InvalidDatabaseUrl(`it has more than one @. ${PERCENT_HINT}`);
  const params = new Map<string, string>();
  for (const part of query.split('&')) {
    const [key = '', value] = part.split(/=(.*)/s);
    if (part !== '' && value === undefined) throw new InvalidDatabaseUrl('a parameter behind the ? has no =');
    if (part !== '') params.set(decode(key), decode(value ?? ''));
  }
  return { authority, path, params };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new InvalidDatabaseUrl(`it has a percent code that is no UTF-8. ${PERCENT_HINT}`);
  }
}

/** Each may have a port of its own. An address of IPv6 stands in brackets. @param ports one for all, or one each; a port behind a host's name comes first */
function hostsOf(text: string, ports: string | null): ServerHost[] {
  const given = ports?.split(',') ?? [];
  const names = text.split(',');
  if (given.length > 1 && given.length !== names.length) {
    throw new InvalidDatabaseUrl('it names another number of ports than of hosts');
  }
  return names.map((each, index) => {
    const parts = /^(?:\[([^\]]*)\]|([^:[\]]*|\/.*?))(?::([^:]*))?$/.exec(each);
    const [, ipv6, plain = '', own] = parts ?? [];
    const host = ipv6 ?? plain;
    if (parts === null) {
      throw new InvalidDatabaseUrl(
        'a host is not a name, an address (IPv6 in brackets) or the folder of a socket',
      );
    }
    const port = own || given[index] || given[0] || String(DEFAULT_PORT);
    if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535 || Number(port) === 0) {
      throw new InvalidDatabaseUrl(
        `the port of host ${index + 1} is not a number from 1 to 65535. ${PERCENT_HINT}`,
      );
    }
    return { host: host || 'localhost', port: Number(port) };
  });
}

function startupOf(
  name: string | null,
  options: string | null,
  schema: string | null,
): Record<string, string> {
  if (schema !== null && !/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new InvalidDatabaseUrl('schema must be a name of small letters, digits and _');
  }
  return {
    application_name: name ?? 'tollgate',
    ...(options === null ? {} : { options }),
    ...(schema === null ? {} : { search_path: schema }),
  };
}
