/** What the wire serves itself and what it leaves to node:http, on the same port and the same connection. */
import { describe, expect, it } from 'vitest';
import { gather } from './gather.ts';
import { echo, post, start } from './serve.ts';

describe('beside node:http, the wire', () => {
  it('serves calls itself, and leaves the rest to Node, on one connection', async () => {
    const { connect, nodes } = await start('wire', echo);
    const client = connect().send(post('mine'));
    await client.until((text) => text.endsWith('mine'));
    const large = 'x'.repeat(300_000);
    client.send(`POST /other HTTP/1.1\r\nhost: a\r\ncontent-length: ${large.length}\r\n\r\n${large}`);
    await client.until((text) => text.endsWith('node /other'));
    expect(nodes).toEqual(['POST /other']);
    // From here on the connection is Node's.
    client.send(post('again') + post('and again'));
    await client.until((text) => text.endsWith('and again'));
    expect(nodes).toEqual(['POST /other', 'POST /v1/x', 'POST /v1/x']);
  });

  it('leaves a request to Node wherever its head is cut', async () => {
    const { connect, nodes } = await start('wire', echo);
    const request = 'GET /other HTTP/1.1\r\nhost: a\r\n\r\n';
    for (let cut = 1; cut < request.length; cut++) {
      const client = connect();
      client.socket.setNoDelay(true);
      client.send(`GET /v1/x HTTP/1.1\r\nhost: a\r\n\r\n${request.slice(0, cut)}`);
      await client.until((text) => text.endsWith('undefined '));
      client.send(request.slice(cut));
      await client.until((text) => text.endsWith('node /other'));
      client.socket.destroy();
    }
    expect(nodes).toEqual(Array(request.length - 1).fill('GET /other'));
  });

  it.each([
    ['HTTP/1.0', 'GET /v1/x HTTP/1.0\r\n\r\n'],
    [
      'an expectation',
      'POST /v1/x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab',
    ],
    ['trailers that are announced', 'GET /v1/x HTTP/1.1\r\nhost: a\r\ntrailer: x\r\n\r\n'],
    ['another protocol', 'GET /v1/x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'],
    ['another coding', 'POST /v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['many headers', `GET /v1/x HTTP/1.1\r\nhost: a\r\n${'x: y\r\n'.repeat(200)}\r\n`],
    ['another target', 'GET http://a/v1/x HTTP/1.1\r\nhost: a\r\n\r\n'],
  ])('leaves %s to Node', async (_, request) => {
    const { connect, nodes } = await start('wire', echo);
    await connect()
      .send(request)
      .until((text) => /HTTP\/1.1 200 OK\r\n[\s\S]*(?:\/v1\/x|undefined )/.test(text));
    expect(nodes).toHaveLength(1);
  });

  it.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\r\n\r\n'],
    ['two lengths', 'POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    [
      'a length and chunks',
      'POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a folded header', 'GET /v1/x HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n'],
    ['a name with a space', 'GET /v1/x HTTP/1.1\r\nhost : a\r\n\r\n'],
    ['a line without CR', 'GET /v1/x HTTP/1.1\r\nhost: a\nx: b\r\n\r\n'],
    ['a head without end', `GET /v1/x HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}`],
    ['two hosts', 'GET /v1/x HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n'],
    ['a broken chunk', 'POST /v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n'],
    [
      'an extension without end',
      `POST /v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;${'y'.repeat(100_000)}`,
    ],
  ])('refuses %s', async (_, request) => {
    const seen: string[] = [];
    const { connect, errors } = await start('wire', (exchange) => {
      exchange.readBody(gather(1000, (body) => seen.push(String(body))));
    });
    expect(await connect().send(request).end()).toContain('HTTP/1.1 400 Bad Request\r\n');
    expect(errors).toHaveLength(1);
    expect(seen.filter((body) => body !== 'gone')).toEqual([]);
  });

  it('refuses nothing within a response that has begun', async () => {
    const { connect, errors } = await start('wire', (exchange) => {
      exchange.writeHead(200, []);
      exchange.write(Buffer.from('begun'));
    });
    const client = connect().send(
      'POST /v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n',
    );
    await client.until((text) => text.includes('begun'));
    client.send('no chunk');
    expect(await client.end()).not.toContain('400');
    expect(errors).toEqual([]);
  });

  it('closes idle connections and leaves busy ones', async () => {
    const { connect, wire } = await start('wire', (exchange) => {
      if (exchange.url === '/v1/x') exchange.respond(200, [], Buffer.from('done'));
      else exchange.writeHead(200, []);
      if (!exchange.ended) exchange.write(Buffer.from('begun'));
    });
    const idle = connect().send(post(''));
    await idle.until((text) => text.endsWith('done'));
    const busy = connect().send('GET /v1/stream HTTP/1.1\r\nhost: a\r\n\r\n');
    await busy.until((text) => text.includes('begun'));
    wire?.closeIdleConnections();
    await idle.end();
    expect(busy.closed).toBe(false);
    wire?.closeAllConnections();
    await busy.end();
  });

  it('breaks the connection when a response is not as long as it says', async () => {
    const { connect } = await start('wire', (exchange) => {
      exchange.writeHead(200, ['content-length', '10']);
      if (exchange.url === '/v1/short') exchange.end(Buffer.from('short'));
      else expect(() => exchange.write(Buffer.from('much longer than that'))).toThrow();
    });
    expect(await connect().send('GET /v1/short HTTP/1.1\r\nhost: a\r\n\r\n').end()).not.toContain(
      'HTTP/1.1 4',
    );
    expect(await connect().send('GET /v1/long HTTP/1.1\r\nhost: a\r\n\r\n').end()).toBe('');
  });
});
