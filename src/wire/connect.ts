/** Opening connections to one origin, with TLS for https: verified, by name, HTTP/1.1 only. */
import { isIP, type OnReadOpts, type Socket, connect as tcpConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';

/** How long a connection may be silent before the kernel asks whether the other side still lives. */
const KEEP_ALIVE_MS = 60_000;

const READ_BYTES = 64 * 1024;

export interface Connecting {
  socket: Socket;
  /** The event that says that bytes can be sent. */
  readyEvent: 'connect' | 'secureConnect';
}

/** Takes bytes as they arrive; what they lie in is used again afterwards when they are not its `own`. */
export type Receive = (bytes: Buffer, own: boolean) => void;

/** One read buffer for all connections: its bytes are used up before the next read. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** Returns a function that begins to open a connection to the URL's origin. */
export function connector(url: URL): (receive: Receive) => Connecting {
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  return secure ? tlsConnector(host, port) : tcpConnector(host, port);
}

function tcpConnector(host: string, port: number): (receive: Receive) => Connecting {
  return (receive) => {
    const socket = tcpConnect({ host, port, noDelay: true, onread: readInto(receive) });
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // Without this the stream never ends, though no data goes through it.
    socket.resume();
    return { socket, readyEvent: 'connect' };
  };
}

function readInto(receive: Receive): OnReadOpts {
  // Windows begins a read with the buffer in hand: there each connection needs its own.
  const buffer = process.platform === 'win32' ? Buffer.allocUnsafeSlow(READ_BYTES) : shared;
  return {
    buffer,
    callback(length) {
      receive(buffer.subarray(0, length), false);
      return true;
    },
  };
}

function tlsConnector(host: string, port: number): (receive: Receive) => Connecting {
  // An address is no name that a server could be asked for (RFC 6066, section 3); the certificate is still checked.
  const servername = isIP(host) === 0 ? host : undefined;
  let session: Buffer | undefined;
  return (receive) => {
    const socket = tlsConnect({ host, port, servername, session, ALPNProtocols: ['http/1.1'] });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('session', (ticket) => {
      session = ticket;
    });
    socket.on('data', (bytes: Buffer) => receive(bytes, true));
    return { socket, readyEvent: 'secureConnect' };
  };
}
