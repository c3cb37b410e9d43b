/** Tables of bad requests, each asked of an API that has one of every noun. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestAdmin, type Json, type TestAdmin } from './support.ts';

export const noSuch = '019abcde-0000-7000-8000-000000000000';

/** What exists before the requests: they must leave it as it is. */
export interface Made {
  team: Json;
  key: Json;
  limit: Json;
  grant: Json;
}

/** Its title, what is asked, the status, the `param` and a part of the message. */
export type Refusal = [string, (made: Made) => [string, string, unknown], number, string | null, RegExp];

export function limitOf(team: Json, change: Record<string, unknown>) {
  const subject = { type: 'team', id: team.id };
  return { subject, meter: 'cost_usd', amount: '10', window: { type: 'lifetime' }, ...change };
}

/** Asks each request and holds it to its refusal, and every row to what it was before. */
export function testRefusals(refusals: Refusal[]): void {
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

  describe('a bad request changes nothing and is told which field is at fault:', () => {
    test.each(refusals)('%s', async (_, request, status, param, message) => {
      const answer = await admin.ask(...request(made));
      expect(answer).toMatchObject({
        status,
        body: { error: { type: 'invalid_request_error', param, message: expect.stringMatching(message) } },
      });
      expect(await admin.snapshot()).toBe(before);
    });
  });
}
