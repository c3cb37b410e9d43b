/** Which connection a call goes on, and what becomes of it: reuse, what the server says, what nothing asked for, TLS. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createUpstream } from '../../src/wire/client.ts';
import type { Upstream, UpstreamCall, UpstreamOptions } from '../../src/wire/upstream.ts';
import { CERTIFICATE, KEY } from './certificate.ts';

interface Served {
  port: number;
  /** Connections so far. */
  sockets: Socket[];
  /** Requests so far, as they came. */
  requests: string[];
}

/** Responds to each request by what the function writes. */
async function serve(respond: (socket: Socket, request: string) => void, tls = false): Promise<Served> {
  const served: Served = { port: 0, sockets: [], requests: [] };
  const accept = (socket: Socket) => {
    served.sockets.push(socket);
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      const end = /\r\n\r\n(?:.*)$/s.exec(text);
      const length = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0);
      if (end === null || text.length < end.index + 4 + length) return;
      const request = text;
      text = '';
      served.requests.push(request);
      respond(socket, request);
    });
  };
  const server: Server = tls
    ? createTlsServer({ key: KEY, cert: CERTIFICATE }, accept)
    : createServer(accept);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  served.port = (server.address() as AddressInfo).port;
  onTestFinished(() => {
    for (const socket of served.sockets) socket.destroy();
    server.close();
  });
  return served;
}

function connect(baseUrl: string, options: Partial<UpstreamOptions> = {}): Upstream {
  const defaults = {
    connections: 4,
    connectTimeoutMs: 2000,
    headersTimeoutMs: 5000,
    bodyTimeoutMs: 5000,
    pausedTimeoutMs: 5000,
  };
  const upstream = createUpstream({ baseUrl, ...defaults, ...options });
  onTestFinished(async () => {
    await upstream.close();
  });
  return upstream;
}

/** Resolves with all that the handler was called with. */
function get(
  upstream: Upstream,
  onEvent: (event: string, call: UpstreamCall) => void = () => {},
): Promise<string[]> {
  const events: string[] = [];
  return new Promise((resolve) => {
    const note = (event: string) => {
      events.push(event);
      onEvent(event, call);
    };
    const call = upstream.send(
      { method: 'GET', path: '/', headers: ['x-own', '1'], body: null },
      {
        onHeaders: (status) => note(String(status)),
        onData: (bytes) => note(bytes.toString('latin1')),
        onEnd() {
          note('end');
          resolve(events);
        },
        onError(failure) {
          note(failure);
          resolve(events);
        },
      },
    );
  });
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const turns = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a connection', () => {
  it('carries one call after another, each written as undici writes it', async () => {
    const served = await serve((socket) => socket.write(OK));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    for (let times = 0; times < 5; times++) expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
    expect(served.sockets).toHaveLength(1);
    expect(served.requests[0]).toBe(
      `GET / HTTP/1.1\r\nhost: 127.0.0.1:${served.port}\r\nconnection: keep-alive\r\nx-own: 1\r\n\r\n`,
    );
  });

  it('carries none after an event stream, where the server is known to close then whatever it says', async () => {
    const stream =
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 2\r\nkeep-alive: timeout=5';
    const respond = (socket: Socket) => socket.write(`${stream}\r\n\r\nok`);
    const served = await serve(respond);
    const upstream = connect(`http://127.0.0.1:${served.port}`, { closesAfterStreams: true });
    for (let times = 0; times < 3; times++) expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
    expect(served.sockets).toHaveLength(3);
    const plain = await serve((socket) => socket.write(OK));
    const other = connect(`http://127.0.0.1:${plain.port}`, { closesAfterStreams: true });
    for (let times = 0; times < 3; times++) expect(await get(other)).toEqual(['200', 'ok', 'end']);
    expect(plain.sockets).toHaveLength(1);
  });

  it('carries one call at a time; the others wait in their order', async () => {
    const held: Socket[] = [];
    const served = await serve((socket) => held.push(socket));
    const upstream = connect(`http://127.0.0.1:${served.port}`, { connections: 2 });
    const order: number[] = [];
    const calls = [0, 1, 2, 3, 4].map((id) => get(upstream).then(() => order.push(id)));
    while (order.length < 5) {
      held.shift()?.write(OK);
      await turns(5);
      expect(served.sockets.length).toBeLessThanOrEqual(2);
    }
    await Promise.all(calls);
    expect(order.slice(2)).toEqual([2, 3, 4]);
  });

  it.each([
    ['says so', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'],
    ['keeps it for too short a time', OK.replace('content', 'keep-alive: timeout=2\r\ncontent')],
    ['speaks HTTP/1.0', OK.replace('1.1', '1.0')],
    ['sends bytes that nothing asked for', `${OK}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong`],
    ['speaks of a body where none may be', 'HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n'],
  ])('is not used again when the server %s', async (_, response) => {
    const served = await serve((socket) => socket.write(response));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    for (let times = 0; times < 3; times++) expect((await get(upstream)).at(-1)).toBe('end');
    expect(served.sockets).toHaveLength(3);
  });

  it('is not used again after it was closed, or got bytes that nothing asked for, while idle', async () => {
    const served = await serve((socket) => socket.write(OK));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    await get(upstream);
    const [first] = served.sockets as [Socket];
    first.end();
    await once(first, 'close');
    expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
    const [, second] = served.sockets as [Socket, Socket];
    second.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong');
    await once(second, 'close');
    expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
    expect(served.sockets).toHaveLength(3);
  });

  it('is not used when such bytes are there, but have not been read, as the call is sent', async () => {
    const served = await serve((socket) => socket.write(OK));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    await get(upstream);
    const told = new Promise<string[]>((resolve) => {
      setTimeout(() => {
        served.sockets[0]?.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong');
        void get(upstream).then(resolve);
      }, 1);
    });
    expect(await told).toEqual(['200', 'ok', 'end']);
  });

  it('is closed when it has been idle for as long as the server keeps it, less a margin', async () => {
    const served = await serve((socket) =>
      socket.write(OK.replace('content', 'keep-alive: timeout=3\r\ncontent')),
    );
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    await get(upstream);
    const closed = once(served.sockets[0]!, 'end').then(() => 'closed');
    served.sockets[0]?.resume();
    const late = new Promise((resolve) => setTimeout(resolve, 2900)).then(async () => {
      // A busy machine runs timers late, but in order: what an earlier one closed is read within a few turns.
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      return 'late';
    });
    expect(await Promise.race([closed, late])).toBe('closed');
  });

  it('takes no body for one of an informational response', async () => {
    const early = 'HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\nlink: x\r\n\r\n';
    const served = await serve((socket) => socket.write(early + OK));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
    expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
    expect(served.sockets).toHaveLength(1);
  });

  it('ends with a response that has no length', async () => {
    const served = await serve((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end'));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    expect(await get(upstream)).toEqual(['200', 'until the end', 'end']);
  });

  it.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['another protocol', 'HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}`],
    ['a folded header', 'HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n'],
  ])('is broken by %s, and its call is interrupted', async (_, response) => {
    const served = await serve((socket) => socket.write(response));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    expect(await get(upstream)).toEqual(['interrupted']);
    expect(served.requests).toHaveLength(1);
  });

  it('hands on nothing while its call is paused, and everything afterwards', async () => {
    const chunks = ['one', 'two', 'three']
      .map((text) => `${text.length.toString(16)}\r\n${text}\r\n`)
      .join('');
    const served = await serve((socket) =>
      socket.end(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`),
    );
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    let isPaused = false;
    const events = await get(upstream, (event, call) => {
      expect(isPaused).toBe(false);
      if (event === 'end' || event === '200') return;
      call.pause();
      isPaused = true;
      setTimeout(() => {
        isPaused = false;
        call.resume();
      }, 10);
    });
    expect(events).toEqual(['200', 'one', 'two', 'three', 'end']);
  });

  it('ends its call when the handler throws, and no other', async () => {
    const served = await serve((socket) => socket.write(OK));
    const upstream = connect(`http://127.0.0.1:${served.port}`);
    const events = await get(upstream, (event) => {
      if (event === 'ok') throw new Error('of the handler');
    });
    expect(events).toEqual(['200', 'ok', 'interrupted']);
    expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
  });
});

describe('a connection with TLS', () => {
  it('is made only to a server whose certificate is trusted and has its name', async () => {
    const served = await serve((socket) => socket.write(OK), true);
    expect(await get(connect(`https://localhost:${served.port}`))).toEqual(['unreachable']);
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, CERTIFICATE]);
    onTestFinished(() => setDefaultCACertificates(before));
    const upstream = connect(`https://localhost:${served.port}`);
    for (let times = 0; times < 3; times++) expect(await get(upstream)).toEqual(['200', 'ok', 'end']);
    expect(await get(connect(`https://127.0.0.1:${served.port}`))).toEqual(['unreachable']);
    expect(served.requests).toHaveLength(3);
  });

  it('carries large bodies both ways', async () => {
    const large = 'x'.repeat(3_000_000);
    const served = await serve(
      (socket) => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${large.length}\r\n\r\n${large}`),
      true,
    );
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, CERTIFICATE]);
    onTestFinished(() => setDefaultCACertificates(before));
    const upstream = connect(`https://localhost:${served.port}`);
    let received = 0;
    await new Promise<void>((resolve, reject) => {
      upstream.send(
        { method: 'POST', path: '/', headers: [], body: Buffer.from(large) },
        {
          onHeaders: () => {},
          onData(bytes) {
            received += bytes.length;
          },
          onEnd: resolve,
          onError: (_, error) => reject(error),
        },
      );
    });
    expect(received).toBe(large.length);
    expect(served.requests[0]?.endsWith(large)).toBe(true);
  });
});
