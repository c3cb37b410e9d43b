/** Tables of invalid requests, each sent to an admin API that has one of every resource. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestAdmin, type Json, type TestAdmin } from './support.ts';

export const noSuch = '019abcde-0000-7000-8000-000000000000';

/** What exists before the requests; none of them may change it. */
export interface Made {
  team: Json;
  key: Json;
  limit: Json;
  grant: Json;
}

/** Title, request, expected status, `param` and a part of the message. */
export type InvalidRequest = [
  string,
  (made: Made) => [string, string, unknown],
  number,
  string | null,
  RegExp,
];

export function limitOf(team: Json, change: Record<string, unknown>) {
  const subject = { type: 'team', id: team.id };
  return { subject, meter: 'cost_usd', amount: '10', window: { type: 'lifetime' }, ...change };
}

/** Adds a test per request: it gets its error, and no row changes. */
export function testInvalidRequests(requests: InvalidRequest[]): void {
  let admin: TestAdmin;
  let made: Made;
  let before: string;
  beforeAll(async () => {
    admin = await createTestAdmin();
    const team = await admin.make('/teams', { name: 'research' });
    made = {
      team,
      key: await admin.make('/keys', { team_id: team.id, name: 'app' }),
      limit: await admin.make('/limits', limitOf(team, {})),
      grant: await admin.make('/grants', { team_id: team.id, amount_usd: '1' }),
    };
    await admin.make('/prices', { model: 'chat-1', input_usd: '1', output_usd: '2', source: 'a contract' });
    before = await admin.snapshot();
  });
  afterAll(() => admin.close());

  describe('an invalid request changes nothing, and its error names the field:', () => {
    test.each(requests)('%s', async (_, request, status, param, message) => {
      const answer = await admin.ask(...request(made));
      expect(answer).toMatchObject({
        status,
        body: { error: { type: 'invalid_request_error', param, message: expect.stringMatching(message) } },
      });
      expect(await admin.snapshot()).toBe(before);
    });
  });
}
