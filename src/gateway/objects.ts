/**
 * What the upstream keeps, as the gateway reaches it: the store that all instances share, and the memory of this one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { TeamId } from '../domain/ids.ts';
import type { ConversationCall, KeptResponse } from '../domain/kept.ts';
import type { RecordedKind } from '../domain/objects.ts';
import type { Flusher } from '../ledger/flusher.ts';
import type { UsedContainer } from '../store/hot/containers.ts';
import type { ConversationView, KeptAt, NewObject, OwnedObject } from '../store/hot/objects.ts';
import type { FoundResponse } from '../store/hot/response-items.ts';

/** What the gateway needs of the store. */
export interface ObjectStore {
  addObject(teamId: TeamId, object: NewObject): Promise<void>;
  findObjects(teamId: TeamId, kinds: readonly RecordedKind[], ids: readonly string[]): Promise<OwnedObject[]>;
  findKeepers(teamId: TeamId, names: readonly string[]): Promise<KeptAt[]>;
  endObject(teamId: TeamId, kind: RecordedKind, id: string): Promise<void>;
  beginSessions(
    teamId: TeamId,
    containers: readonly UsedContainer[],
    atMs: number,
    callId: string,
  ): Promise<number | null>;
  /** Returns what is known of a file of the team, or of all teams; null: there is none. */
  findFile(teamId: TeamId, id: string): Promise<unknown>;
  /** Returns those of the names that are models which other teams' jobs have made. */
  othersModels(teamId: TeamId, ids: readonly string[]): Promise<string[]>;
  /** Returns those of the names that are items of other teams' responses alone. */
  othersItems(teamId: TeamId, names: readonly string[]): Promise<string[]>;
  addItems(teamId: TeamId, conversationId: string, tokens: number | null): Promise<void>;
  findResponses(teamId: TeamId, names: readonly string[]): Promise<FoundResponse[]>;
  /** Both of the above at once. */
  findItems(
    teamId: TeamId,
    names: readonly string[],
    shown: readonly string[],
  ): Promise<{ responses: FoundResponse[]; others: string[] }>;
  beginConversationCall(
    teamId: TeamId,
    conversationId: string,
    callId: string,
    call: Omit<ConversationCall, 'addedBefore'>,
  ): Promise<ConversationView | null>;
  callsBegun(teamId: TeamId, conversationId: string): Promise<number>;
  cancelConversationCall(teamId: TeamId, conversationId: string, callId: string): Promise<void>;
}

export interface Remembered {
  readonly response: KeptResponse;
  /** Its item of that name; null: the name is its own. */
  readonly item: KeptResponse['items'][number] | null;
  /** Name of the upstream that keeps it, null where there is one; undefined: it is not known here. */
  readonly upstream: string | null | undefined;
}

/** Names, and what stands behind them in images and items: some tens of megabytes. */
const NAMES_MAX = 50_000;
const PARTS_MAX = 500_000;

/** No object has a blank in its name. */
const unstored = (name: string) => `unstored ${name}`;

/** What passed through this instance lately. Only makes the way to Postgres shorter, but for what is kept by clients alone. */
export class ObjectMemory {
  readonly #known = new LRUCache<string, Remembered>({
    max: NAMES_MAX,
    maxSize: PARTS_MAX,
    sizeCalculation: ({ response }) => 1 + response.items.length + response.history.images.length,
  });

  find(teamId: TeamId, name: string): Remembered | null {
    return this.#known.get(`${teamId} ${name}`) ?? null;
  }

  /** Whether an item that is sent along whole is the team's, of a response of which the upstream keeps nothing. */
  isUnstored(teamId: TeamId, name: string): boolean {
    return this.find(teamId, unstored(name)) !== null;
  }

  /**
   * @param id null: the upstream keeps nothing, so that only encrypted content may come again, and what its tools did where a client
   * sends it along
   */
  add(teamId: TeamId, id: string | null, response: KeptResponse, upstream?: string | null): void {
    if (id !== null) this.#known.set(`${teamId} ${id}`, { response, item: null, upstream });
    for (const item of response.items) {
      for (const name of item.names) {
        const isNamed = id !== null || name.startsWith('seal:');
        if (!isNamed && item.hidden !== 'input') continue;
        const known = isNamed ? name : unstored(name);
        this.#known.set(`${teamId} ${known}`, { response, item, upstream });
      }
    }
  }
}

/**
 * Replicas flush several times a second: after the first wait what a client knows of is in Postgres. On a busy machine, or
 * where a journal is being read, it may take longer: it is looked for after each wait before a client hears 404.
 */
const OTHERS_FLUSH_MS = [300, 500, 900];

/** Looks again for what may stand in an event on its way, of this instance or of another, until `look` returns true. */
export async function lookAgain(flusher: Flusher, look: () => Promise<boolean>): Promise<void> {
  const drained = flusher.drain();
  for (const waitMs of OTHERS_FLUSH_MS) {
    await Promise.all([drained, delay(waitMs)]);
    if (await look()) return;
  }
}
