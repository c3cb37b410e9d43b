/** Conversations and their items: what the upstream keeps of a talk, free until a response reads it. */
import { free } from './descriptor.ts';

const ITEMS = '/conversations/{conversation_id}/items';
const ITEM = `${ITEMS}/{item_id}`;
const CONVERSATION = '/conversations/{conversation_id}';

export const CONVERSATIONS = [
  free({
    name: 'conversations.create',
    method: 'POST',
    path: '/conversations',
    addsItems: true,
    makes: { kind: 'conversation', at: 'id' },
  }),
  free({ name: 'conversations.retrieve', method: 'GET', path: CONVERSATION }),
  free({ name: 'conversations.update', method: 'POST', path: CONVERSATION }),
  free({ name: 'conversations.delete', method: 'DELETE', path: CONVERSATION, ends: true }),
  free({
    name: 'conversations.items.list',
    method: 'GET',
    path: ITEMS,
    query: ['after', 'include', 'limit', 'order'],
  }),
  free({
    name: 'conversations.items.create',
    method: 'POST',
    path: ITEMS,
    query: ['include'],
    addsItems: true,
  }),
  free({ name: 'conversations.items.retrieve', method: 'GET', path: ITEM, query: ['include'] }),
  free({ name: 'conversations.items.delete', method: 'DELETE', path: ITEM }),
];
