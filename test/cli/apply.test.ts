import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestCli, type TestCli } from './support.ts';

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
});
afterAll(() => cli.close());

const ORGANISATION = `
plans:
  - name: research
    models: [gpt-5, gpt-5-mini]
    grants: [{ amount_usd: "18", months: 3 }]
prices:
  - { model: house-model, input_usd: "1", output_usd: "2.50", effective_from: 2026-01-01, source: the contract }
departments:
  - { name: Science }
  - { name: Physics, parent_id: Science }
teams:
  - { name: Atlas, plan: research, department_id: Physics }
  - { name: Borealis, plan: null, unlimited: true }
limits:
  - subject: team:Atlas
    meter: cost_usd
    window: month@Europe/Berlin
    amount: "500.00"
    carry_over: { max_percent: 25 }
    on_exhausted: { action: slow_down, calls_per_minute: 6 }
  - { subject: "member:ada@example.com", meter: cost_usd, window: lifetime, amount: "20" }
  - { subject: department:Science, meter: cost_usd, window: lifetime, amount: "9000" }
  - { subject: org, meter: requests, window: rolling:1m, amount: "6000", warn_at: [80] }
`;

async function apply(text: string, ...flags: string[]) {
  const file = join(cli.home, 'organisation.yaml');
  await writeFile(file, text);
  return cli.run(['apply', '-f', file, ...flags]);
}

describe('apply', () => {
  it('shows what differs, makes it so, and finds nothing afterwards', async () => {
    const before = await cli.admin.snapshot();
    const dry = await apply(ORGANISATION, '--dry-run');
    expect(dry).toMatchObject({ code: 3, stderr: '' });
    expect(dry.stdout.match(/^\+ .*/gm)).toEqual([
      '+ plans research',
      expect.stringMatching(/^\+ prices house-model 2026-01-01/),
      '+ departments Science',
      '+ departments Physics',
      '+ teams Atlas',
      '+ teams Borealis',
      '+ limits team:Atlas cost_usd month@Europe/Berlin',
      '+ limits member:ada@example.com cost_usd lifetime',
      '+ limits department:Science cost_usd lifetime',
      '+ limits org requests rolling:1m',
    ]);
    expect(await cli.admin.snapshot()).toBe(before);

    const done = await apply(ORGANISATION);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/10 changes were made\n$/);
    const { data: teams } = (await cli.json(['teams', '--all'])) as {
      data: { name: string; id: string; grants: object[] }[];
    };
    expect(teams.map(({ name }) => name)).toEqual(['Atlas', 'Borealis']);
    expect(teams[0]?.grants).toHaveLength(1);
    const { data: limits } = (await cli.json(['limits'])) as { data: object[] };
    expect(limits).toContainEqual(
      expect.objectContaining({ subject: { type: 'team', id: teams[0]?.id }, amount: '500.00' }),
    );
    expect(await apply(ORGANISATION)).toEqual({ code: 0, stdout: 'Nothing differs\n', stderr: '' });
    expect((await apply(ORGANISATION, '--dry-run')).code).toBe(0);
  });

  it('changes what may change, and leaves what the file leaves out', async () => {
    const changed = ORGANISATION.replace('500.00', '750').replace(', unlimited: true', '');
    const ran = await apply(changed);
    expect(ran.stdout).toBe(`~ limits team:Atlas cost_usd month@Europe/Berlin
    amount: 500.00 -> 750
1 change was made
`);
    expect((await cli.json(['teams', 'show', 'Borealis'])).unlimited).toBe(true);
  });

  it('finds drift, and prunes only what the file names the noun of', async () => {
    await cli.json([
      'limits',
      'create',
      '--subject',
      'team:Borealis',
      '--meter',
      'requests',
      '--amount',
      '1',
      '--window',
      'day',
    ]);
    await cli.json(['teams', 'create', '--name', 'Stray']);
    const limitsOnly = ORGANISATION.replace('500.00', '750').replace(/^teams:[\s\S]+?(?=^limits:)/m, '');
    expect((await apply(limitsOnly)).stdout).toBe('Nothing differs\n');
    const pruned = await apply(limitsOnly, '--prune');
    expect(pruned.stdout).toContain('- limits team:Borealis requests day@UTC');
    const { data } = (await cli.json(['teams'])) as { data: { name: string }[] };
    expect(data.map(({ name }) => name)).toContain('Stray');
  });

  it('makes, moves and deletes departments in the order in which that can be', async () => {
    const tree = (...pairs: string[]) =>
      `departments:\n${pairs.map((pair) => `  - { name: ${pair.split('<')[0]}, parent_id: ${pair.split('<')[1] || 'null'} }\n`).join('')}`;
    const ours = ['Science<', 'Physics<Science'];
    const deep = tree(...ours, 'Optics<Waves', 'Waves<Fields', 'Fields<Physics');
    expect(await apply(deep)).toMatchObject({ code: 0, stderr: '' });
    expect(await apply(deep)).toMatchObject({ stdout: 'Nothing differs\n' });
    // Each of the two is where the other was.
    const turned = tree(...ours, 'Fields<Waves', 'Optics<Fields', 'Waves<Physics');
    expect(await apply(turned)).toMatchObject({ code: 0, stderr: '' });
    expect(await apply(turned)).toMatchObject({ stdout: 'Nothing differs\n' });
    const round = await apply(tree(...ours, 'One<Two', 'Two<One'));
    expect(round).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('departments One: is below itself'),
    });
    const pruned = await apply(tree(...ours), '--prune');
    expect(pruned.stderr).toBe('');
    expect(pruned.stdout.match(/^- .*/gm)).toEqual([
      '- departments Optics',
      '- departments Fields',
      '- departments Waves',
    ]);
  });

  it.each<[string, string, string[]]>([
    [
      'a number for an amount',
      'limits: [{subject: org, meter: requests, window: day, amount: 5}]',
      ['limits[0]: amount:', 'write amounts in quotes'],
    ],
    [
      'an unknown field',
      'teams: [{name: New, colour: blue}]',
      ['teams[0]: colour: there is no such field here'],
    ],
    [
      'a missing field',
      'limits: [{subject: org, meter: requests, window: day}]',
      ['limits[0]: amount: must be given'],
    ],
    [
      'an unknown team',
      'limits: [{subject: "team:Nobody", meter: requests, window: day, amount: "5"}]',
      ["none of the teams is called 'Nobody'"],
    ],
    [
      'a change that cannot be',
      'teams: [{name: Atlas, plan: free-tier}]',
      ['plan is research and cannot become free-tier'],
    ],
    ['one thing twice', 'teams: [{name: New}, {name: New}]', ['teams[1]: is the same as teams[0]']],
    ['several faults', 'teams: [{name: New, a: 1}, {name: Other, b: 2}]', ['teams[0]: a', 'teams[1]: b']],
    ['grants', 'grants: [{}]', ["'tollgate grants create'"]],
    ['upstreams', 'upstreams: []', ['TOLLGATE_CONFIG_FILE']],
    ['an unknown noun', 'colours: []', ['there is no colours here, only plans']],
    ['no list', 'teams: {name: New}', ['teams must be a list']],
    ['no YAML', 'teams: [', ['organisation.yaml: ']],
    ['an alias without its anchor', 'teams: [*new]', ['organisation.yaml: Unresolved alias']],
    [
      'faults of every kind, together',
      'colours: []\ngrants: []\nupstreams: []\nplans: {}\nteams: [{name: New, a: 1}]\nlimits: [{subject: org, meter: requests}]',
      ['no colours', 'grants create', 'CONFIG_FILE', 'plans must', 'teams[0]: a', 'limits[0]: '],
    ],
  ])('refuses %s, and changes nothing', async (_name, text, messages) => {
    const before = await cli.admin.snapshot();
    const ran = await apply(`${text}\n`);
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    for (const message of messages) expect(ran.stderr).toContain(message);
    expect(await cli.admin.snapshot()).toBe(before);
  });

  it('reads stdin, and says what a wrong line is', async () => {
    expect(
      await cli.run(['apply', '-f', '-'], {
        stdin: 'teams: []',
        env: { TOLLGATE_URL: cli.url, TOLLGATE_ADMIN_KEY: 'x' },
      }),
    ).toMatchObject({ code: 1 });
    expect((await cli.run(['apply'])).code).toBe(2);
    expect((await cli.run(['apply', '-f', '/nowhere/x.yaml'])).stderr).toContain(
      'cannot read /nowhere/x.yaml',
    );
    expect((await cli.run(['apply', '--help'])).stdout).toContain('--dry-run');
  });
});
