/**
 * What the simulated API keeps: responses, their items, conversations, and what is in encrypted reasoning. All of it is
 * read again, and billed, when a later request names it.
 */
import { type ApiError, invalidRequest } from './errors.ts';
import { isObject, type JsonObject } from './fields.ts';
import type { KeptItem } from './reading.ts';

/** Of these, the oldest are forgotten. */
const RESPONSES_MAX = 20_000;

export class KeptState {
  readonly #responses = new Map<string, { previous: string | null; items: KeptItem[] }>();
  readonly #items = new Map<string, KeptItem>();
  readonly #conversations = new Map<string, KeptItem[]>();
  readonly #sealed = new Map<string, number>();
  /** Where is looked what is not found here; null: nowhere. */
  readonly #shared: KeptState | null;

  /** `shared`: this is what one connection keeps beside it. */
  constructor(shared: KeptState | null = null) {
    this.#shared = shared;
  }

  addConversation(id: string, items: readonly JsonObject[]): void {
    this.#conversations.set(
      id,
      items.map((item) => ({ item, reasoningTokens: 0 })),
    );
  }

  addItems(id: string, items: readonly JsonObject[]): void {
    const put = items.map((item) => ({ item, reasoningTokens: 0 }));
    this.#conversations.get(id)?.push(...put);
    for (const kept of put) if (kept.item.id !== undefined) this.#items.set(String(kept.item.id), kept);
  }

  /** Returns the items of a conversation, in their order. */
  itemsOf(id: string): JsonObject[] {
    return this.#conversations.get(id)?.map(({ item }) => item) ?? [];
  }

  deleteItem(id: string, itemId: string): void {
    const kept = this.#conversations.get(id) ?? [];
    this.#conversations.set(
      id,
      kept.filter(({ item }) => item.id !== itemId),
    );
  }

  deleteConversation(id: string): void {
    this.#conversations.delete(id);
  }

  seal(content: string, reasoningTokens: number): void {
    this.#sealed.set(content, reasoningTokens);
  }

  /** Keeps what a response leaves: its own input and its output, in its conversation, or behind the response before it. */
  addResponse(id: string, body: JsonObject, input: readonly KeptItem[], output: readonly KeptItem[]): void {
    const items = [...input, ...output];
    const conversation = conversationOf(body);
    if (conversation !== null) this.#conversations.get(conversation)?.push(...items);
    if (body.store === false) return;
    const previous = typeof body.previous_response_id === 'string' ? body.previous_response_id : null;
    this.#responses.set(id, { previous, items });
    for (const kept of output) this.#items.set(String(kept.item.id), kept);
    const [oldest] = this.#responses.keys();
    if (this.#responses.size <= RESPONSES_MAX || oldest === undefined) return;
    for (const { item } of this.#responses.get(oldest)?.items ?? []) this.#items.delete(String(item.id));
    this.#responses.delete(oldest);
  }

  /** Keeps one response until the next, whatever its request says of storing. */
  keepLast(id: string, items: readonly KeptItem[]): void {
    this.#responses.clear();
    this.#items.clear();
    this.#responses.set(id, { previous: null, items: [...items] });
    for (const kept of items) if (kept.item.id !== undefined) this.#items.set(String(kept.item.id), kept);
  }

  #responseOf(id: string): { previous: string | null; items: KeptItem[] } | undefined {
    const own = this.#responses.get(id);
    return own !== undefined || this.#shared === null ? own : this.#shared.#responseOf(id);
  }

  #itemsIn(conversation: string): KeptItem[] | undefined {
    const own = this.#conversations.get(conversation);
    return own !== undefined || this.#shared === null ? own : this.#shared.#itemsIn(conversation);
  }

  #sealedIn(content: string): number | undefined {
    const own = this.#sealed.get(content);
    return own !== undefined || this.#shared === null ? own : this.#shared.#sealedIn(content);
  }

  /** What stands before a request's own input. */
  historyOf(body: JsonObject): KeptItem[] | ApiError {
    const conversation = conversationOf(body);
    if (conversation !== null) {
      const message = `Conversation with id '${conversation}' not found.`;
      const items = this.#itemsIn(conversation);
      return items?.slice() ?? invalidRequest(message, 'conversation', null, 404);
    }
    const parts: KeptItem[][] = [];
    let next = body.previous_response_id;
    while (typeof next === 'string') {
      const response = this.#responseOf(next);
      if (response === undefined) {
        const message = `Previous response with id '${next}' not found.`;
        return invalidRequest(message, 'previous_response_id', 'previous_response_not_found');
      }
      parts.unshift(response.items);
      next = response.previous;
    }
    return parts.flat();
  }

  /** An item of a request, with what is kept behind it. */
  itemOf(item: JsonObject): KeptItem | ApiError {
    const { type, id, encrypted_content: sealed } = item;
    if (type === 'item_reference' || (type === undefined && item.role === undefined)) return this.#find(id);
    if (type !== 'reasoning') return { item, reasoningTokens: 0 };
    if (typeof sealed !== 'string') return this.#find(id);
    const reasoningTokens = this.#sealedIn(sealed);
    if (reasoningTokens !== undefined) return { item, reasoningTokens };
    const message = 'The encrypted content could not be verified.';
    return invalidRequest(message, 'input', 'invalid_encrypted_content');
  }

  #find(id: unknown): KeptItem | ApiError {
    const message = `Item with id '${id}' not found. Items are not persisted when \`store\` is set to false.`;
    const own = this.#items.get(String(id));
    if (own !== undefined) return own;
    return this.#shared === null ? invalidRequest(message, 'input', null, 404) : this.#shared.#find(id);
  }
}

export function conversationOf({ conversation }: JsonObject): string | null {
  if (typeof conversation === 'string') return conversation;
  return isObject(conversation) && typeof conversation.id === 'string' ? conversation.id : null;
}
