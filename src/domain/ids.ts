/**
 * Ids. A branded type keeps the id of one thing out of the place of another's: all of them are texts. Owns: what can be
 * read out of an id. Does not own: ids of counters, which are made of others (counter.ts), and making new ones. Pure.
 */

/** The moment in a UUIDv7 (RFC 9562), in milliseconds since the epoch: its first 48 bits. */
export function momentOfUuidV7(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
