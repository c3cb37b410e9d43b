/** A request that the wire itself has read, and its response. */
import { dateLine, headerLine, listHas, statusLine } from './head.ts';
import type { Exchange } from './exchange.ts';
import { writeTogether } from './output.ts';
import type { Socket } from 'node:net';

/** Sent with every response that keeps the connection. */
export const KEEP_ALIVE_MS = 75_000;
const KEEP_ALIVE_LINES = `Connection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_MS / 1000}\r\n`;

/** How long the rest of a body that is too large is read and thrown away. */
const DISCARD_MS = 5000;

/** Most bytes of a body that are kept before somebody reads it. */
const UNREAD_BYTES = 64 * 1024;

const EMPTY = Buffer.alloc(0);
