/** Requests under /v1, served by the wire and, for comparison, over node:http: both behave the same. */
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/wire/exchange.ts';
import { gather } from './gather.ts';
import { echo, type Kind, post, start, withoutDate } from './serve.ts';

const count = (text: string, part: string) => text.split(part).length - 1;

describe.each<Kind>(['wire', 'node'])('%s', (kind) => {
  it('serves a request and keeps the connection for the next one', async () => {
    const { connect } = await start(kind, echo);
    const client = connect().send(post('hello'));
    const first = await client.until((text) => text.endsWith('hello'));
    expect(withoutDate(first)).toBe(
      'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nX-Own: \xe9\r\nContent-Length: 21\r\nDate: then\r\n' +
        'Connection: keep-alive\r\nKeep-Alive: timeout=75\r\n\r\nPOST /v1/x 5 \xc3\xa4 hello',
    );
    client.send(post('again'));
    await client.until((text) => text.endsWith('again'));
  });

  it('reads a request that comes byte by byte', async () => {
    const { connect } = await start(kind, echo);
    const client = connect();
    client.socket.setNoDelay(true);
    for (const byte of post('slow')) {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.until((text) => text.endsWith(' 4 \xc3\xa4 slow'));
  });

  it('reads a chunked body, with its extensions and trailers', async () => {
    const { connect } = await start(kind, echo);
    const chunks = '3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n';
    const client = connect().send(
      `POST /v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${chunks}`,
    );
    await client.until((text) => text.endsWith('POST /v1/x null undefined abc0123456789'));
    client.send(post('after'));
    await client.until((text) => text.endsWith('after'));
  });

  it('serves requests that were sent together in their order', async () => {
    const held: (() => void)[] = [];
    const { connect } = await start(kind, (exchange) => {
      // The first response takes longest.
      if (exchange.url === '/v1/1') held.push(() => echo(exchange));
      else echo(exchange);
    });
    const get = (path: string) => `GET /v1/${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
    const client = connect().send(get('1') + get('2') + get('3'));
    await once(client.socket, 'ready');
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
    held[0]?.();
    const text = await client.until((all) => count(all, 'HTTP/1.1 200 OK') === 3 && all.includes('/v1/3'));
    expect([...text.matchAll(/GET \/v1\/(\d)/g)].map(([, id]) => id)).toEqual(['1', '2', '3']);
  });

  it('sends a head at once and a stream piece by piece', async () => {
    let exchange: Exchange | undefined;
    const { connect } = await start(kind, (begun) => {
      exchange = begun;
      begun.writeHead(200, ['content-type', 'text/event-stream']);
      begun.write(Buffer.alloc(0));
    });
    const client = connect().send(post(''));
    const head = await client.until((text) => text.endsWith('\r\n\r\n'));
    expect(withoutDate(head)).toBe(
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nDate: then\r\nConnection: keep-alive\r\n' +
        'Keep-Alive: timeout=75\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    expect([exchange?.headersSent, exchange?.ended]).toEqual([true, false]);
    exchange?.write(Buffer.from('one'));
    await client.until((text) => text.endsWith('\r\n3\r\none\r\n'));
    exchange?.write(Buffer.from('two'));
    exchange?.end(Buffer.from('and three'));
    await client.until((text) => text.endsWith('3\r\ntwo\r\n9\r\nand three\r\n0\r\n\r\n'));
    expect(exchange?.ended).toBe(true);
  });

  it('sends a stream of a length that is known without chunks', async () => {
    const { connect } = await start(kind, (exchange) => {
      exchange.writeHead(200, ['Content-Length', '6']);
      exchange.write(Buffer.from('one'));
      exchange.end(Buffer.from('two'));
    });
    const text = await connect()
      .send(post(''))
      .until((all) => all.endsWith('onetwo'));
    expect(text).not.toContain('chunked');
  });

  it.each([
    ['HEAD', 200, 'Content-Length: 4\r\n'],
    ['GET', 204, ''],
    ['GET', 304, ''],
  ])('sends no body with %s %i', async (method, status, length) => {
    const { connect } = await start(kind, (exchange) =>
      exchange.respond(status, ['x-own', '1'], Buffer.from(status === 200 ? 'body' : '')),
    );
    const request = `${method} /v1/x HTTP/1.1\r\nhost: a\r\n\r\n`;
    const client = connect().send(request + request);
    const text = await client.until((all) => count(all, 'HTTP/1.1 ') === 2 && all.endsWith('\r\n\r\n'));
    expect(withoutDate(text.slice(0, text.length / 2))).toMatch(
      new RegExp(
        `^HTTP/1.1 ${status} .*\r\nx-own: 1\r\n${length}Date: then\r\nConnection: keep-alive\r\n.*\r\n\r\n$`,
      ),
    );
  });

  it('closes the connection after a response when the client or the handler says so', async () => {
    const { connect } = await start(kind, (exchange) => {
      if (exchange.url === '/v1/handler') exchange.closeAfter();
      exchange.respond(
        200,
        exchange.url === '/v1/header' ? ['connection', 'close'] : [],
        Buffer.from('last'),
      );
    });
    for (const [path, header] of [
      ['client', 'connection: close\r\n'],
      ['oddly', 'connection: keep-alive, close\t\r\n'],
      ['handler', ''],
      ['header', ''],
    ]) {
      const text = await connect().send(`GET /v1/${path} HTTP/1.1\r\nhost: a\r\n${header}\r\n`).end();
      expect(text).toMatch(/^connection: close\r\n/im);
      expect(text).toMatch(/\r\n\r\nlast$/);
    }
  });

  it.each([
    ['declared', (body: string) => post(body)],
    [
      'chunked',
      (body: string) =>
        `POST /v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
  ])('reads a body that is too large (%s) to its end before it responds', async (_, request) => {
    const { connect } = await start(kind, (exchange) =>
      exchange.readBody(
        gather(100_000, (body) => {
          if (body === 'too_large') exchange.respond(413, [], Buffer.from('too large'));
          else if (body !== 'gone') exchange.respond(200, [], Buffer.from(String(body.length)));
        }),
      ),
    );
    const client = connect().send(request('x'.repeat(1_000_000)));
    await client.until((text) => text.endsWith('too large'));
    client.send(request('x'.repeat(100_000)));
    await client.until((text) => text.endsWith('100000'));
  });

  it('lets a client wait while its body is not read', async () => {
    let exchange: Exchange | undefined;
    const { connect } = await start(kind, (begun) => {
      exchange = begun;
    });
    const size = 16 * 1024 * 1024;
    const client = connect().send(post('x'.repeat(size)));
    while (!exchange) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(client.socket.writableLength).toBeGreaterThan(1024 * 1024);
    exchange.readBody(
      gather(size, (body) =>
        exchange?.respond(200, [], Buffer.from(`read ${typeof body === 'string' ? body : body.length}`)),
      ),
    );
    await client.until((text) => text.endsWith(`read ${size}`));
  });

  it('tells the handler when the client reads too slowly, and when it reads again', async () => {
    const piece = Buffer.alloc(256 * 1024, 'x');
    let written = 0;
    let drains = 0;
    const { connect } = await start(kind, (exchange) => {
      exchange.writeHead(200, []);
      const fill = () => {
        while (written < 64) {
          written++;
          if (!exchange.write(piece)) return;
        }
        exchange.end();
      };
      exchange.onDrain = () => {
        drains++;
        fill();
      };
      fill();
    });
    const client = connect();
    client.socket.pause();
    client.send(post(''));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(written).toBeLessThan(64);
    client.socket.resume();
    await client.until((all) => all.endsWith('\r\n0\r\n\r\n'));
    expect(client.received).toBeGreaterThan(64 * piece.length);
    expect(drains).toBeGreaterThan(0);
  });

  it('sends a slow client its own bytes, whatever others are sent meanwhile', async () => {
    const piece = (index: number) => `${index} `.padEnd(10_000, '.');
    let written = 0;
    let slow: Exchange | undefined;
    const { connect } = await start(kind, (exchange) => {
      if (exchange.url !== '/v1/slow') {
        exchange.respond(200, [], Buffer.alloc(10_000, '!'));
        return;
      }
      exchange.writeHead(200, ['content-length', '20000000']);
      slow = exchange;
    });
    const client = connect();
    client.socket.pause();
    client.send('GET /v1/slow HTTP/1.1\r\nhost: a\r\n\r\n');
    while (!slow) await new Promise((resolve) => setImmediate(resolve));
    while (slow.write(Buffer.from(piece(written++)))) {
      // Until the kernel takes only a part of a piece.
    }
    const other = connect().send('GET /v1/other HTTP/1.1\r\nhost: a\r\n\r\n');
    await other.until((text) => text.includes('!!!'));
    let all = '';
    client.socket.on('data', (bytes: Buffer) => {
      all += bytes.toString('latin1');
    });
    client.socket.resume();
    while (all.length < written * 10_000) await new Promise((resolve) => setTimeout(resolve, 5));
    const body = all.slice(all.indexOf('\r\n\r\n') + 4);
    for (let index = 0; index < written; index++) {
      if (body.slice(index * 10_000, (index + 1) * 10_000) !== piece(index)) {
        throw new Error(`piece ${index} of ${written} is another`);
      }
    }
  });

  it('tells the handler of the end of the exchange', async () => {
    const ends: string[] = [];
    const begun: string[] = [];
    const { connect } = await start(kind, (exchange) => {
      begun.push(exchange.url);
      exchange.onClose = (finished) => ends.push(`${exchange.url} ${finished}`);
      if (exchange.url === '/v1/served') exchange.respond(200, [], Buffer.from('done'));
      if (exchange.url === '/v1/broken') exchange.destroy();
      if (exchange.url === '/v1/left') exchange.readBody(gather(10, (body) => ends.push(`body ${body}`)));
      if (exchange.url === '/v1/stream') {
        exchange.writeHead(200, []);
        exchange.write(Buffer.from('begun'));
      }
    });
    const get = (path: string) => `GET /v1/${path} HTTP/1.1\r\nhost: a\r\n`;
    const client = connect().send(`${get('served')}\r\n`);
    await client.until((text) => text.endsWith('done'));
    client.send(`${get('broken')}\r\n`);
    await client.end();
    const leaving = connect().send(`${get('left')}content-length: 5\r\n\r\nhal`);
    await expect.poll(() => begun).toContain('/v1/left');
    leaving.socket.destroy();
    const streaming = connect().send(`${get('stream')}\r\n`);
    await streaming.until((text) => text.includes('begun'));
    streaming.socket.destroy();
    while (ends.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(ends.sort()).toEqual([
      '/v1/broken false',
      '/v1/left false',
      '/v1/served true',
      '/v1/stream false',
      'body gone',
    ]);
  });

  it('takes a client that closes its side for one that has left', async () => {
    let exchange: Exchange | undefined;
    let finished: boolean | undefined;
    const { connect } = await start(kind, (begun) => {
      exchange = begun;
      begun.onClose = (whole) => {
        finished = whole;
      };
    });
    const client = connect().send(post('hello'));
    while (!exchange) await new Promise((resolve) => setImmediate(resolve));
    client.socket.end();
    expect(await client.end()).toBe('');
    while (finished === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(finished).toBe(false);
    // Nothing that comes too late does harm.
    exchange.respond(200, [], Buffer.from('late'));
    exchange.end();
  });

  it('writes nothing into a head that could end it', async () => {
    const thrown: unknown[] = [];
    const { connect } = await start(kind, (exchange) => {
      for (const [name, value] of [
        ['x-own', 'a\r\nset-cookie: b'],
        ['x-own\r\nset-cookie', 'b'],
        ['x own', 'b'],
        ['', 'b'],
        ['x-own', 'a\0b'],
        ['x-own', '\u0100'],
      ]) {
        try {
          exchange.writeHead(200, [name as string, value as string]);
        } catch (error) {
          thrown.push(error);
        }
      }
      exchange.destroy();
    });
    await connect().send(post('')).end();
    expect(thrown).toHaveLength(6);
    for (const error of thrown) expect(error).toBeInstanceOf(TypeError);
  });

  it('refuses heads that do not come in time, and requests', async () => {
    const limits = { headersTimeoutMs: 500, requestTimeoutMs: 1500 };
    const bodies: unknown[] = [];
    const { connect, errors } = await start(
      kind,
      (exchange) => exchange.readBody(gather(10, (body) => bodies.push(body))),
      limits,
    );
    const silent = connect();
    const slowHead = connect().send('POST /v1/x HTTP/1.1\r\nhost:');
    const slowBody = connect().send(post('hello').slice(0, -1));
    expect(await silent.end()).toContain('HTTP/1.1 400 Bad Request\r\n');
    expect(await slowHead.end()).toContain('HTTP/1.1 400 Bad Request\r\n');
    expect(await slowBody.end()).toContain('HTTP/1.1 400 Bad Request\r\n');
    expect(errors).toEqual(Array(3).fill('ERR_HTTP_REQUEST_TIMEOUT'));
    expect(bodies).toEqual(['gone']);
  });

  it('refuses a request that ends too early', async () => {
    const { connect, errors } = await start(kind, echo);
    for (const part of ['POST /v1/x HTTP/1.1\r\nho', post('hello').slice(0, -1)]) {
      const client = connect().send(part);
      client.socket.end();
      expect(await client.end()).toContain('HTTP/1.1 400 Bad Request\r\n');
    }
    expect(errors).toEqual(['HPE_INVALID_EOF_STATE', 'HPE_INVALID_EOF_STATE']);
  });

  it('reads on after the last response to a client that still writes, which gets no reset', async () => {
    const { connect } = await start(kind, (exchange) => exchange.respond(404, [], Buffer.from('no')));
    const client = connect();
    const errors: Error[] = [];
    client.socket.on('error', (error) => errors.push(error));
    client.send('POST /v1/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 16000000\r\n\r\n');
    client.send('x'.repeat(16_000_000));
    expect(await client.end()).toMatch(/^HTTP\/1.1 404 .*\r\n\r\nno$/s);
    expect(errors).toEqual([]);
    expect(client.socket.bytesWritten).toBeGreaterThan(16_000_000);
  });
});
