/**
 * Counts of inputs that replicas share: what the upstream counted for calls, by the fingerprints of their leading items. Owns:
 * the rows. Invariants: of one row the count only falls while it counts; only the team that made it finds it.
 */
import { hash } from 'node:crypto';
import { GIVEN, type InputCount } from '../../domain/input-count.ts';
import type { Sql } from '../database.ts';

export class PostgresCountStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async add(counts: readonly InputCount[]): Promise<void> {
    const rows = new Map<string, InputCount & { key: string; setting: string }>();
    for (const count of counts) {
      const { teamId, model, fingerprint, elements, given } = count;
      const key = keyOf(model, fingerprint);
      const setting = textOf(hash('sha256', bytesOf(given + elements), 'buffer'));
      const id = `${teamId} ${key} ${setting}`;
      if ((rows.get(id)?.tokens ?? Number.POSITIVE_INFINITY) > count.tokens)
        rows.set(id, { ...count, key, setting });
    }
    // In one order, so that replicas that write the same rows wait for each other at most once.
    const all = [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
    await this.#sql`
      insert into input_counts (team_id, key, setting, given, elements, tokens, expires_at)
      select * from unnest(
        ${all.map(({ teamId }) => teamId)}::uuid[], ${all.map(({ key }) => key)}::text[],
        ${all.map(({ setting }) => setting)}::text[], ${all.map(({ given }) => given)}::text[],
        ${all.map(({ elements }) => bytesOf(elements).toString('base64'))}::text[],
        ${all.map(({ tokens }) => tokens)}::integer[],
        ${all.map(({ untilMs }) => new Date(untilMs).toISOString())}::timestamptz[])
      on conflict (team_id, key, setting) do update
        set tokens = excluded.tokens, expires_at = excluded.expires_at
        where excluded.tokens < input_counts.tokens or input_counts.expires_at <= tollgate_now()`;
  }

  async find(teamId: string, model: string, fingerprints: readonly string[]): Promise<InputCount[]> {
    const byKey = new Map(fingerprints.map((fingerprint) => [keyOf(model, fingerprint), fingerprint]));
    const rows = await this.#sql<
      { key: string; given: string; elements: string; tokens: number; until_ms: number }[]
    >`
      select key, given, elements, tokens, (extract(epoch from expires_at) * 1000)::float8 as until_ms
      from input_counts
      where team_id = ${teamId} and key = any(${[...byKey.keys()]}::text[]) and expires_at > tollgate_now()`;
    return rows.flatMap(({ key, given, elements, tokens, until_ms: untilMs }) => {
      const known = GIVEN.find((each) => each === given);
      const fingerprint = byKey.get(key);
      if (known === undefined || fingerprint === undefined) return [];
      const counted = Buffer.from(elements, 'base64').toString('latin1');
      return [{ teamId, model, fingerprint, elements: counted, given: known, tokens, untilMs }];
    });
  }
}

/** Deletes counts that count no more. */
export async function forgetInputCounts(sql: Sql): Promise<void> {
  await sql`delete from input_counts where expires_at <= tollgate_now()`;
}

/** Fingerprints do not name the model, and rows do not show them. */
function keyOf(model: string, fingerprint: string): string {
  return textOf(hash('sha256', bytesOf(`${model}\0${fingerprint}`), 'buffer'));
}

function textOf(digest: Buffer): string {
  return digest.toString('base64url', 0, 16);
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
