import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createUpstream } from '../../src/wire/client.ts';
import type { Upstream, UpstreamCall, UpstreamOptions } from '../../src/wire/upstream.ts';

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serve(listener: Listener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
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
  closing.push(() => upstream.close());
  return upstream;
}

/** Sends a call and gathers what its handler is told, in order. */
function send(upstream: Upstream, body: Buffer | null = Buffer.from('{}'), onEvent?: (what: string) => void) {
  const told: string[] = [];
  let call: UpstreamCall | undefined;
  const ended = new Promise<string[]>((resolve) => {
    const tell = (what: string, last = false) => {
      told.push(what);
      onEvent?.(what);
      if (last) setImmediate(() => resolve(told));
    };
    const method = body === null ? 'GET' : 'POST';
    call = upstream.send(
      { method, path: '/chat/completions', headers: ['content-type', 'application/json'], body },
      {
        onHeaders: (status, headers) => tell(`${status} ${headers['x-request-id']}`),
        onData: (chunk) => tell(chunk.toString()),
        onEnd: () => tell('end', true),
        onError: (failure) => tell(failure, true),
      },
    );
  });
  return { call: call!, told, ended };
}

describe('an upstream call', () => {
  it('sends a large body in slices, whatever its pieces, and says when it has left', async () => {
    const pieces = [Buffer.alloc(3_000_000, 'a'), Buffer.from('b'), Buffer.alloc(70_000, 'c')];
    const { url } = await serve(async (request, response) => {
      const chunks = (await request.toArray()) as Buffer[];
      const isSame = Buffer.concat(chunks).equals(Buffer.concat(pieces));
      response.end(`${request.headers['content-length']} ${isSame}`);
    });
    const upstream = connect(url);
    const told: string[] = [];
    for (let call = 0; call < 2; call++) {
      await new Promise<void>((resolve) => {
        upstream.send(
          { method: 'POST', path: '/x', headers: [], body: pieces },
          {
            onSent: () => told.push('sent'),
            onHeaders: (status) => told.push(String(status)),
            onData: (chunk) => told.push(chunk.toString()),
            onEnd: () => resolve(),
            onError: (failure) => resolve(void told.push(failure)),
          },
        );
      });
    }
    const each = ['sent', '200', '3070001 true'];
    expect(told).toEqual([...each, ...each]);
  });

  it('uses a connection no more whose response came before all of the body had left', async () => {
    const sockets = new Set<unknown>();
    const { url } = await serve((request, response) => {
      sockets.add(request.socket);
      response.end('early');
    });
    const upstream = connect(url);
    await send(upstream, Buffer.alloc(60_000_000)).ended;
    expect(await send(upstream).ended).toEqual(['200 undefined', 'early', 'end']);
    expect(sockets.size).toBe(2);
  });

  it('sends the bytes below the path of the base URL and hands on the answer', async () => {
    const { url } = await serve(async (request, response) => {
      const [chunk] = await once(request, 'data');
      response.setHeader('x-request-id', 'req_1');
      response.end(`${request.method} ${request.url} ${request.headers['content-length']} ${chunk}`);
    });
    const { ended } = send(connect(`${url}/proxy/v1/`), Buffer.from('{"a":1}'));
    expect(await ended).toEqual(['200 req_1', 'POST /proxy/v1/chat/completions 7 {"a":1}', 'end']);
  });

  it('sends a GET without a body', async () => {
    const { url } = await serve((request, response) => response.end(`${request.headers['content-length']}`));
    expect(await send(connect(url), null).ended).toEqual(['200 undefined', 'undefined', 'end']);
  });

  it('hands on error statuses as answers and leaves early hints out', async () => {
    const { url } = await serve((_, response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' });
      response.writeHead(429).end('slow down');
    });
    expect(await send(connect(url)).ended).toEqual(['429 undefined', 'slow down', 'end']);
  });

  it('is unreachable when nothing listens', async () => {
    const { server, url } = await serve(() => {});
    server.close();
    await once(server, 'close');
    expect(await send(connect(url)).ended).toEqual(['unreachable']);
  });

  it('is unreachable when the name does not resolve', async () => {
    expect(await send(connect('http://upstream.invalid/v1')).ended).toEqual(['unreachable']);
  });

  it('is unreachable when the TLS handshake fails', async () => {
    const { url } = await serve((_, response) => response.end());
    expect(await send(connect(url.replace('http:', 'https:'))).ended).toEqual(['unreachable']);
  });

  it('is unreachable when the handshake does not end in time', async () => {
    const silent = createTcpServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    closing.push(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    const upstream = connect(`https://127.0.0.1:${port}`, { connectTimeoutMs: 100 });
    expect(await send(upstream).ended).toEqual(['unreachable']);
  });

  it('is unreachable with a header that cannot be written', async () => {
    const { url } = await serve((_, response) => response.end());
    const failures: string[] = [];
    connect(url).send(
      { method: 'GET', path: '/models', headers: ['x', 'a\r\nb: c'], body: null },
      {
        onHeaders: () => {},
        onData: () => {},
        onEnd: () => {},
        onError: (failure) => failures.push(failure),
      },
    );
    expect(failures).toEqual(['unreachable']);
  });

  it('is interrupted, and sent only once, when the connection is cut before an answer', async () => {
    let requests = 0;
    const { url } = await serve((request) => {
      requests++;
      request.socket.resetAndDestroy();
    });
    const upstream = connect(url);
    expect(await send(upstream).ended).toEqual(['interrupted']);
    expect(await send(upstream, null).ended).toEqual(['interrupted']);
    expect(requests).toBe(2);
  });

  it('is interrupted when the connection is cut within the answer', async () => {
    const { url } = await serve((_, response) => {
      response.write('half', () => response.socket!.destroy());
    });
    expect(await send(connect(url)).ended).toEqual(['200 undefined', 'half', 'interrupted']);
  });

  it('times out waiting for headers, and within a body', async () => {
    const { url } = await serve((request, response) => {
      if (request.method === 'GET') response.write('half');
    });
    const silent = connect(url, { headersTimeoutMs: 100 });
    expect(await send(silent).ended).toEqual(['timeout']);
    const half = connect(url, { bodyTimeoutMs: 100 });
    expect(await send(half, null).ended).toEqual(['200 undefined', 'half', 'timeout']);
  });

  it('can be aborted at once, while it waits for a connection, and within the answer', async () => {
    let requests = 0;
    const { url } = await serve((_, response) => {
      requests++;
      response.write('half');
    });
    const upstream = connect(url, { connections: 1 });
    const early = send(upstream);
    early.call.abort();
    expect(early.told).toEqual(['unreachable']);

    const running = send(upstream, null, (what) => {
      if (what === 'half') running.call.abort();
    });
    const waiting = send(upstream);
    waiting.call.abort();
    expect(waiting.told).toEqual(['unreachable']);
    expect(await running.ended).toEqual(['200 undefined', 'half', 'interrupted']);
    running.call.abort();

    const last = send(upstream, null, (what) => what === 'half' && last.call.abort());
    expect(await last.ended).toContain('half');
    expect([early.told.length, waiting.told.length, running.told.length]).toEqual([1, 1, 3]);
    expect(requests).toBe(2);
  });

  it('stops reading while it is paused and goes on where it was', async () => {
    const answer = Buffer.alloc(16 * 1024 * 1024, 'x');
    let writtenWhilePaused = -1;
    const { url } = await serve((_, response) => response.end(answer));
    let received = 0;
    const { call, ended } = send(connect(url), null, (what) => {
      if (!what.startsWith('x')) return;
      received += what.length;
      if (writtenWhilePaused !== -1) return;
      call.pause();
      writtenWhilePaused = received;
      setTimeout(() => {
        expect(received).toBe(writtenWhilePaused);
        call.resume();
      }, 50);
    });
    await ended;
    expect(received).toBe(answer.length);
    expect(writtenWhilePaused).toBeLessThan(answer.length);
  });

  it('refuses new calls once closed, after those under way have ended', async () => {
    const { url } = await serve((_, response) => response.end('done'));
    const upstream = connect(url);
    const running = send(upstream);
    await upstream.close();
    expect(running.told).toEqual(['200 undefined', 'done', 'end']);
    expect(await send(upstream).ended).toEqual(['unreachable']);
  });

  it('needs an HTTP URL', () => {
    expect(() => connect('ftp://host/v1')).toThrow();
  });
});
