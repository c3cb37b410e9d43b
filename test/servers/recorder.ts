/**
 * A proxy before a real server that keeps each response as it came. It reads usage by rules of its own: it is the judge
 * of the ledger, and shares no code with what it judges.
 */
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as forward,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export interface Recorded {
  /** The event's id, as Tollgate sends it; null: the request was not Tollgate's. */
  id: string | null;
  path: string;
  request: string;
  /** 0: no response came. */
  status: number;
  body: string;
  /** `whole`: all of it came; `cut`: the server broke it off; `left`: the gateway did; `open`: not yet at an end. */
  end: 'open' | 'whole' | 'cut' | 'left';
}

/** In tokens. */
export interface Usage {
  input: number;
  cached: number;
  output: number;
}

export class Recorder {
  readonly records: Recorded[] = [];
  readonly #target: number;
  #port = 0;
  #server: Server | null = null;

  /** @param target the server's port */
  constructor(target: number) {
    this.#target = target;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Takes connections, after a {@link close} at the same address. */
  async open(): Promise<void> {
    const connections = new Map<Socket, Agent>();
    this.#server = createServer((incoming, outgoing) => {
      this.#pass(incoming, outgoing, connections.get(incoming.socket));
    });
    this.#server.keepAliveTimeout = 0;
    this.#server.on('connection', (socket) => {
      connections.set(socket, onwardOf(socket, this.#target));
      socket.once('close', () => {
        connections.get(socket)?.destroy();
        connections.delete(socket);
      });
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse, agent: Agent | undefined): void {
    const record: Recorded = {
      id: (incoming.headers['x-client-request-id'] as string | undefined) ?? null,
      path: incoming.url ?? '',
      request: '',
      status: 0,
      body: '',
      end: 'open',
    };
    this.records.push(record);
    const pieces: Buffer[] = [];
    const end = (how: Recorded['end']) => {
      if (record.end !== 'open') return;
      record.end = how;
      record.body = Buffer.concat(pieces).toString();
    };
    const { method, url, headers } = incoming;
    const target = { host: '127.0.0.1', port: this.#target, method, path: url, headers, agent };
    const onward = forward(target, (answer: IncomingMessage) => {
      record.status = answer.statusCode ?? 0;
      // Over HTTP/1.0 a connection carries one call.
      if (answer.httpVersion === '1.0') outgoing.shouldKeepAlive = false;
      outgoing.writeHead(record.status, answer.rawHeaders);
      answer.on('data', (piece: Buffer) => {
        pieces.push(piece);
        outgoing.write(piece);
      });
      answer.once('end', () => {
        end('whole');
        outgoing.end();
      });
      answer.once('error', () => {
        end('cut');
        outgoing.destroy();
      });
    });
    onward.once('error', () => {
      end('cut');
      outgoing.destroy();
    });
    outgoing.once('close', () => {
      end('left');
      onward.destroy();
    });
    incoming.on('data', (piece: Buffer) => {
      record.request += piece;
      onward.write(piece);
    });
    incoming.once('end', () => onward.end());
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  }
}

/** Returns an agent with one connection to the server for one of the gateway's: when the server closes it, so ends the other. */
function onwardOf(socket: Socket, port: number): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => connect(port, '127.0.0.1').once('close', () => socket.end());
  return agent;
}

interface WireUsage {
  prompt_tokens?: number;
  completion_tokens?: number;
  input_tokens?: number;
  output_tokens?: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
  input_tokens_details?: { cached_tokens?: number } | null;
}

/** Returns the JSON objects of a response: the one that it is, or those of its events. */
export function objectsOf(body: string): Record<string, unknown>[] {
  const lines = body.split(/\r?\n/).filter((line) => line.startsWith('data:') && !line.includes('[DONE]'));
  const texts = lines.length > 0 ? lines.map((line) => line.slice(5)) : [body];
  return texts.map((text) => {
    try {
      return JSON.parse(text) as Record<string, unknown>;
    } catch {
      return {};
    }
  });
}

/** Returns what the server says that a response took; null: it does not. */
export function usageOf({ body }: Recorded): Usage | null {
  const said = objectsOf(body).flatMap(({ usage, response }) => {
    const inner = (response as { usage?: unknown } | undefined)?.usage;
    return [usage, inner].filter((one) => typeof one === 'object' && one !== null) as WireUsage[];
  });
  const last = said.at(-1);
  if (last === undefined) return null;
  const details = last.prompt_tokens_details ?? last.input_tokens_details;
  return {
    input: last.prompt_tokens ?? last.input_tokens ?? 0,
    cached: details?.cached_tokens ?? 0,
    output: last.completion_tokens ?? last.output_tokens ?? 0,
  };
}
