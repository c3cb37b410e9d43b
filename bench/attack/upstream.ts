/** The simulated OpenAI of an attack, in a process of its own, and its books: the judge of what was really spent. */
import { fileURLToPath } from 'node:url';
import type { InvoiceLine, InvoiceSummary } from '../../src/simulator/invoice.ts';
import type { Profile } from '../../src/simulator/profile.ts';
import { freePort, start, startOwnServer, waitUntilReady } from '../processes.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/tollgate.mjs', import.meta.url));

export class Upstream {
  readonly #origin: string;

  private constructor(port: number) {
    this.#origin = `http://127.0.0.1:${port}`;
  }

  static async start(logFile: string, options: string[]): Promise<Upstream> {
    const port = await freePort();
    const nodeArguments = [LAUNCHER, 'simulator', '--port', String(port), ...options];
    const child = start({ nodeArguments, logFile });
    const upstream = new Upstream(port);
    await waitUntilReady(child, `${upstream.#origin}/healthz`, logFile);
    return upstream;
  }

  /** One of the bench's own upstreams, which keep no books. */
  static async own(logFile: string, script = 'upstream.ts'): Promise<Upstream> {
    const { port } = await startOwnServer({ script, logFile });
    return new Upstream(port);
  }

  /** The base URL for gateways. */
  get url(): string {
    return `${this.#origin}/v1`;
  }

  /** From the next request on. */
  async setProfile(change: Partial<Profile>): Promise<void> {
    const response = await fetch(`${this.#origin}/profile`, {
      method: 'PATCH',
      body: JSON.stringify(change),
    });
    if (!response.ok) throw new Error(`PATCH /profile: ${response.status} ${await response.text()}`);
  }

  async billed(): Promise<bigint> {
    const { total_pico_usd } = await this.#get<InvoiceSummary>('/invoice/total');
    return BigInt(total_pico_usd);
  }

  /** Requests that it is answering, by the id of their key. */
  async inFlight(): Promise<Map<string, number>> {
    return new Map(Object.entries(await this.#get<Record<string, number>>('/in-flight')));
  }

  /** The client of a stream has so many of its events with text. */
  async taken(callId: string, events: number): Promise<void> {
    const body = JSON.stringify({ client_request_id: callId, events });
    const response = await fetch(`${this.#origin}/taken`, { method: 'POST', body });
    if (!response.ok) throw new Error(`POST /taken: ${response.status} ${await response.text()}`);
    await response.body?.cancel();
  }

  async lines(): Promise<InvoiceLine[]> {
    return (await this.#get<{ lines: InvoiceLine[] }>('/invoice')).lines;
  }

  async #get<Body>(path: string): Promise<Body> {
    return (await (await fetch(this.#origin + path)).json()) as Body;
  }
}
