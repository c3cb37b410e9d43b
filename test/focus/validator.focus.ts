/**
 * focus-validator over the exports. Its exit status is 0 whatever it finds, so its report is read. What it says of InvoiceId
 * is true: whose invoice a charge is on is not known here.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { ADMIN_KEY, createTestAdmin, createTestInstance, type TestAdmin } from '../admin/support.ts';
import { temporaryFolder } from '../support/folder.ts';

const { program, folder, missing } = inject('validator');
const at = (text: string) => Date.parse(text);

let admin: TestAdmin;
let files: string;
beforeAll(async () => {
  if (program === null) return;
  admin = await createTestAdmin('2026-12-03T10:00:00.000Z');
  files = await temporaryFolder();
  const instance = await createTestInstance(admin.database);
  for (const name of ['research', 'sales, "EMEA"', '=1+1', '北京']) {
    const team = await admin.make('/teams', { name, plan: null });
    const key = await admin.make('/keys', { team_id: team.id, name: 'app' });
    const own = { teamId: team.id, keyId: key.id, priceId: 'price-1', costUsd: '0.100000000001' };
    await instance.call({ ...own, atMs: at('2026-11-01T00:00:00Z') });
    await instance.call({ ...own, atMs: at('2026-11-01T12:00:00Z'), serviceTier: 'flex' });
    await instance.call({ ...own, atMs: at('2026-11-30T23:59:59.999Z'), operation: 'responses' });
    await instance.call({ ...own, atMs: at('2026-12-01T00:00:00Z'), costUsd: '0.000000000001' });
    await instance.call({ ...own, atMs: at('2026-11-02T00:00:00Z'), costUsd: '0', outcome: 'voided' });
    await instance.call({ ...own, atMs: at('2026-11-03T00:00:00Z'), costUsd: '123456789.5', model: 'gpt-5' });
    const unknown = { ...own, costUsd: '0.50', outcome: 'unknown' } as const;
    const late = await instance.call({ ...unknown, atMs: at('2026-11-01T15:00:00Z') });
    await admin.make(`/unknown/${late}/release`, { reason: 'a ticket', cost_usd: '0.200000000007' });
    const early = await instance.call({ ...unknown, atMs: at('2026-12-02T15:00:00Z') });
    await admin.make(`/unknown/${early}/release`, { reason: 'a ticket' });
  }
}, 120_000);
afterAll(() => admin?.close());

interface Report {
  /** The rules that failed, by their ids. */
  failed: string[];
  /** Rules that were looked at. */
  rules: number;
}

async function validate(path: string, query: string): Promise<Report> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const response = await admin.app.request(`/admin/v1/${path}?${query}`, { headers });
  expect(response.status).toBe(200);
  const [data, report] = [join(files, path), join(files, `${path}.xml`)];
  await writeFile(data, Buffer.from(await response.arrayBuffer()));
  await promisify(execFile)(
    program ?? '',
    [
      ...['--data-file', data, '--validate-version', '1.2', '--block-download'],
      ...['--output-type', 'unittest', '--output-destination', report],
    ],
    { cwd: folder, maxBuffer: 100_000_000 },
  );
  const cases = (await readFile(report, 'utf8')).split('<testcase ').slice(1);
  const names = (of: string[]) => of.map((each) => /^name="([^" ]+)/.exec(each)?.[1] ?? each);
  return { failed: names(cases.filter((each) => /<failure|<error/.test(each))), rules: cases.length };
}

describe.skipIf(missing !== null)('focus-validator', () => {
  test.each([
    ['focus.csv', 'from=2026-11-01&to=2026-12-01'],
    ['focus.parquet', 'from=2026-11-01&to=2026-12-01'],
    ['focus.csv', 'from=2026-11-01&to=2027-01-01'],
    ['focus.parquet', 'from=2026-12-01&to=2027-01-01'],
  ])('objects in %s (%s) to nothing but InvoiceId', async (path, query) => {
    const { failed, rules } = await validate(path, query);
    expect(rules).toBeGreaterThan(300);
    expect(failed).toEqual(['InvoiceId-C-005-C']);
  });
});
