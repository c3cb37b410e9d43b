import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { remoteCommands } from '../../src/main/command-line.ts';
import { ADMIN_KEY } from '../admin/support.ts';
import { createTestCli, type TestCli } from './support.ts';

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
});
afterAll(() => cli.close());

describe('resources', () => {
  it('makes, lists, shows, changes and deletes a team', async () => {
    const made = await cli.json([
      'teams',
      'create',
      '--name',
      'Atlas',
      '--plan',
      'null',
      '--models',
      'gpt-5,gpt-5-mini',
    ]);
    expect(made).toMatchObject({
      name: 'Atlas',
      plan: null,
      models: ['gpt-5', 'gpt-5-mini'],
      unlimited: false,
    });
    const listed = await cli.run(['teams']);
    expect(listed.stdout).toMatch(/^ID +NAME/);
    expect(listed.stdout).toContain(`${made.id}  Atlas`);
    await cli.json(['teams', 'change', 'Atlas', '--unlimited', '--models', 'null']);
    expect(await cli.json(['teams', 'show', String(made.id)])).toMatchObject({
      unlimited: true,
      models: null,
    });
    expect((await cli.run(['teams', 'balance', 'Atlas'])).stdout).toMatch(/^team_id +\S{36}$/m);
    expect((await cli.run(['teams', 'delete', 'Atlas'])).code).toBe(0);
    expect((await cli.run(['teams', 'list'])).stdout).not.toContain('Atlas');
    expect((await cli.run(['teams', 'list', '--include-deleted'])).stdout).toContain('Atlas');
  });

  it.each([
    ['lifetime', { type: 'lifetime' }],
    ['month@Europe/Berlin', { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' }],
    ['day', { type: 'calendar', unit: 'day', time_zone: 'UTC' }],
    ['rolling:24h', { type: 'rolling', seconds: 86_400 }],
    ['{"type":"rolling","seconds":60}', { type: 'rolling', seconds: 60 }],
  ])('takes the window %s and a team by its name', async (window, expected) => {
    const name = `Team of ${window}`;
    const { id } = await cli.json(['teams', 'create', '--name', name]);
    const limit = await cli.json([
      'limits',
      'create',
      '--subject',
      `team:${name}`,
      '--meter',
      'requests',
      '--amount',
      '5',
      '--window',
      window,
    ]);
    expect(limit).toMatchObject({
      window: expected,
      subject: { type: 'team', id },
      amount: '5',
      enforcement: 'strict',
    });
  });

  it('pages through a list, and says that there is more', async () => {
    for (let n = 0; n < 5; n += 1) await cli.json(['teams', 'create', '--name', `Paged ${n}`]);
    const first = await cli.run(['teams', 'list', '--limit', '3']);
    expect(first.stdout.trim().split('\n')).toHaveLength(4);
    const cursor = /--after (\S+)/.exec(first.stderr)?.[1] ?? '';
    const rest = await cli.run(['teams', 'list', '--after', cursor, '--all']);
    expect(rest.stdout).toContain('Paged 4');
    expect(rest.stderr).toBe('');
  });

  it('shows the columns that are asked for', async () => {
    const { stdout } = await cli.run(['plans', 'list', '--columns', 'name,grants']);
    expect(stdout.split('\n')[0]).toMatch(/^NAME +GRANTS$/);
  });

  it('prints usage as a table', async () => {
    for (const top of [[], ['--top', '3']]) {
      expect(await cli.run(['usage', '--group-by', 'team', '--interval', 'total', ...top])).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^none\n\ninterval +total\n/),
      });
    }
  });

  it('says of an empty list what the API said beside it', async () => {
    const { stdout } = await cli.run(['reconciliation']);
    expect(stdout).toMatch(/^none\n\nsetup .*"is_on":false/);
    expect(await cli.json(['reconciliation'])).toMatchObject({ data: [], setup: { is_on: false } });
  });

  it('shows what is left of grants and limits', async () => {
    await cli.json(['teams', 'create', '--name', 'Left', '--plan', 'free-tier']);
    const limit = ['--subject', 'team:Left', '--meter', 'cost_usd', '--amount', '5', '--window', 'month'];
    await cli.json(['limits', 'create', ...limit]);
    const balance = await cli.run(['teams', 'balance', 'Left']);
    expect(balance.stdout).toMatch(/AMOUNT_USD +SETTLED_USD +HELD_USD +REMAINING_USD/);
    expect(balance.stdout).toMatch(/AMOUNT +SETTLED +HELD +REMAINING +WINDOW +RESETS_AT/);
    const listed = await cli.run(['limits', 'list', '--state', '--all']);
    expect(listed.stdout).toMatch(/AMOUNT +SETTLED +HELD +REMAINING +WINDOW +RESETS_AT/);
  });

  it('releases unknown calls in bulk, by a filter', async () => {
    const released = await cli.json([
      'unknown',
      'release',
      '--filter',
      'model=gpt-5',
      '--reason',
      'billed nothing',
    ]);
    expect(released).toMatchObject({ released_calls: 0 });
  });
});

describe('lines that are wrong', () => {
  it.each<[string[], number, string]>([
    [['teams', 'frobnicate'], 2, "there is no 'frobnicate'. There is create, list, show"],
    [['teams', 'create', '--nmae', 'x'], 2, "Unknown option '--nmae'"],
    [['teams', 'show'], 2, 'takes one ID, found none'],
    [['teams', 'create', '--name', 'x', 'y'], 2, "found 'y'"],
    [['teams', 'show', 'Nobody'], 1, "none of the teams is called 'Nobody'"],
    [['teams', 'create'], 1, 'teams create needs --name'],
    [['keys', 'create', '--name', 'x'], 1, 'keys create needs --team-id'],
    [['limits', 'create', '--window', 'rolling:soon'], 2, '--window must be lifetime'],
    [['limits', 'create', '--subject', 'everyone'], 2, '--subject must begin with one of org'],
    [['keys', 'rotate', 'x', '--grace-seconds', 'long'], 2, '--grace-seconds must be a number'],
    [['calls', 'show', 'the-last'], 1, "nothing here has a name: use an id, found 'the-last'"],
    [['recipients', 'delete', 'x'], 1, 'nothing here has a name'],
  ])('%j', async (args, code, message) => {
    const ran = await cli.run(args);
    expect(ran).toMatchObject({ code, stdout: '' });
    expect(ran.stderr).toContain(message);
  });

  it('names people by their user name, and roles with where they hold', async () => {
    const made = await cli.json([
      ...['people', 'create', '--user-name', 'Ada@Example.com'],
      ...['--roles', 'team_lead@team:Paged 0,viewer@org'],
    ]);
    const { id: team } = await cli.json(['teams', 'get', 'Paged 0']);
    const lead = { role: 'team_lead', scope: { type: 'team', id: team } };
    expect(made.roles).toEqual([lead, { role: 'viewer', scope: { type: 'org' } }]);
    const inJson = JSON.stringify([{ role: 'team_lead', scope: { type: 'team', id: 'Paged 0' } }]);
    const changed = await cli.json(['people', 'update', 'Ada@example.com', '--roles', inJson]);
    expect(changed).toMatchObject({ id: made.id, roles: [lead] });
    expect((await cli.run(['people'])).stdout).toContain(`  team_lead@team:${team}  `);
    expect((await cli.run(['people', 'create', '--help'])).stdout).toContain('--roles ROLE@SCOPE,…');
    expect(await cli.run(['people', 'change', 'ada@example.com', '--roles', 'viewer'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--roles must be ROLE@SCOPE,…, such as viewer@org'),
    });
    expect(await cli.run(['people', 'remove', 'ada@example.com'])).toMatchObject({ code: 0 });
  });

  it('shows where a window begins, and raises a limit by that word', async () => {
    const window = '{"type":"calendar","unit":"year","time_zone":"Europe/Berlin","start_month":4}';
    const rule = ['--subject', 'team:Paged 0', '--meter', 'cost_usd', '--amount', '5', '--name', 'fiscal'];
    await cli.json(['limits', 'create', ...rule, '--window', window]);
    expect((await cli.run(['limits', 'get', 'fiscal'])).stdout).toContain('year@Europe/Berlin start_month=4');
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const raised = ['limits', 'raise', 'fiscal', '--amount', '1', '--until', until, '--reason', 'trip'];
    expect(await cli.json(raised)).toMatchObject({ amount: '1.00', reason: 'trip' });
    await cli.json(['limits', 'delete', 'fiscal']);
  });

  it('knows the team of the values of a tag by its name', async () => {
    const { id: team } = await cli.json(['teams', 'show', 'Paged 0']);
    const subject = '{"type":"tag","name":"run","team_id":"Paged 0"}';
    const rule = ['--subject', subject, '--meter', 'cost_usd', '--amount', '2', '--window', 'lifetime'];
    const made = await cli.json(['limits', 'create', ...rule]);
    expect(made.subject).toMatchObject({ type: 'tag', name: 'run', team_id: team });
    await cli.json(['limits', 'delete', String(made.id)]);
  });

  it('says so of a name that several have', async () => {
    const { id } = await cli.json(['teams', 'show', 'Paged 0']);
    for (let n = 0; n < 2; n += 1)
      await cli.json(['keys', 'create', '--team-id', 'Paged 0', '--name', 'twin']);
    const { data } = (await cli.json(['keys', 'list', '--team-id', String(id)])) as {
      data: { name: string }[];
    };
    expect(data.map(({ name }) => name)).toEqual(['twin', 'twin']);
    expect((await cli.run(['keys', 'delete', 'twin'])).stderr).toMatch(
      /2 of the keys are called 'twin': use an id/,
    );
  });

  it('says which gateway cannot be reached, and what a wrong key is', async () => {
    const away = await cli.run(['teams'], {
      env: { TOLLGATE_URL: 'http://127.0.0.1:9', TOLLGATE_ADMIN_KEY: 'x' },
    });
    expect(away).toMatchObject({ code: 1 });
    expect(away.stderr).toMatch(/cannot reach http:\/\/127\.0\.0\.1:9: .+ Name the gateway with/);
    const wrong = await cli.run(['teams'], { env: { TOLLGATE_URL: cli.url, TOLLGATE_ADMIN_KEY: 'x' } });
    expect(wrong.stderr).toContain('(invalid_api_key)');
    const none = await cli.run(['teams'], { env: { TOLLGATE_URL: cli.url, TOLLGATE_DATA_DIR: cli.home } });
    expect(none.stderr).toContain('no admin key: set TOLLGATE_ADMIN_KEY');
  });
});

describe('help and completion', () => {
  it('knows every noun of the admin API as a command', async () => {
    const { paths } = (await cli.admin.get('/openapi.json')) as unknown as { paths: Record<string, object> };
    const nouns = Object.keys(paths).flatMap(
      (path) => /^\/admin\/v1\/([a-z-]+)(?:\/|$)/.exec(path)?.[1] ?? [],
    );
    const commands = remoteCommands().map((name) => (name === 'calls' ? 'events' : name));
    expect(commands).toEqual(
      expect.arrayContaining([...new Set(nouns)].filter((noun) => noun !== 'estimates')),
    );
  });

  it('lists the actions of a noun and the fields of an action, also when the gateway is away', async () => {
    expect((await cli.run(['limits', '--help'])).stdout).toMatch(/limits create +\S/);
    const away = { TOLLGATE_URL: cli.url, TOLLGATE_ADMIN_KEY: 'wrong' };
    const { stdout } = await cli.run(['limits', 'create', '--help'], { env: away });
    expect(stdout).toMatch(/--enforcement strict\|soft +strict: never exceeded/);
    expect(stdout).toMatch(/--subject SUBJECT/);
  });

  it.each<[string[], string]>([
    [['li'], 'limits'],
    [['limits', 'cr'], 'create\ncreate-raises'],
    [['limits', 'create', '--enf'], '--enforcement'],
    [['limits', 'create', '--enforcement', 's'], 'soft\nstrict'],
    [['calls', 'list', '--outcome', 'unk'], 'unknown'],
    [['export', 'foc'], 'focus.csv\nfocus.parquet'],
    [['export', 'statement', '--mo'], '--month'],
    [['profile', 're'], 'remove'],
    [['completion', ''], 'bash\nfish\nzsh'],
    [['journal', ''], 'replay'],
    [['secrets', 's'], 'set\nshow'],
  ])('completes %j', async (words, expected) => {
    await cli.run(['teams']);
    expect((await cli.run(['complete', '--', ...words])).stdout.trim()).toBe(expected);
  });

  it('prints a script that bash reads', async () => {
    const { stdout } = await cli.run(['completion', 'bash']);
    await promisify(execFile)('bash', ['-n', '-c', stdout]);
    expect((await cli.run(['completion', 'tcsh'])).code).toBe(2);
  });
});

describe('profiles', () => {
  it('sends the key of a profile to no other gateway, unless the line names both', async () => {
    const keys: unknown[] = [];
    const other = createServer((request, response) => {
      keys.push(request.headers.authorization);
      response.writeHead(404).end();
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const gateway = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const env = { XDG_CONFIG_HOME: join(cli.home, 'other'), TOLLGATE_DATA_DIR: cli.home };
    const kept = { stdin: 'key-of-the-profile', env };
    await cli.run(['profile', 'add', 'prod', '--url', 'http://127.0.0.1:9'], kept);
    const asked = { ...env, TOLLGATE_PROFILE: 'prod' };
    expect((await cli.run(['plans', '--gateway', gateway], { env: asked })).stderr).toContain('no admin key');
    await cli.run(['plans', '--gateway', gateway], { env: { ...asked, TOLLGATE_ADMIN_KEY: 'its-own' } });
    await cli.run(['plans', '--gateway', gateway, '--profile', 'prod'], { env });
    expect(keys).toEqual(['Bearer its-own', 'Bearer key-of-the-profile']);
    other.close();
  });

  it('keeps keys in a file of its own, and uses the default', async () => {
    const env = { XDG_CONFIG_HOME: join(cli.home, 'config') };
    const path = join(cli.home, 'config/tollgate/profiles.json');
    const added = await cli.run(['profile', 'add', 'prod', '--url', `${cli.url}/v1/`], {
      stdin: `${ADMIN_KEY}\n`,
      env,
    });
    expect(added).toMatchObject({ code: 0 });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await cli.run(['profile', 'add', 'dead', '--url', 'http://127.0.0.1:9'], { stdin: 'key', env });
    expect((await cli.run(['profile', 'list'], { env })).stdout).toBe(
      `   NAME  URL\n*  prod  ${cli.url}\n   dead  http://127.0.0.1:9\n`,
    );
    expect((await cli.run(['plans'], { env })).stdout).toContain('free-tier');
    expect((await cli.run(['plans', '--profile', 'dead'], { env })).code).toBe(1);
    await cli.run(['profile', 'use', 'dead'], { env });
    expect((await cli.run(['plans'], { env })).code).toBe(1);
    expect((await cli.run(['plans', '--profile=prod'], { env })).code).toBe(0);
    expect((await cli.run(['complete', '--', 'profile', 'use', ''], { env })).stdout).toBe('dead\nprod\n');
    expect((await cli.run(['plans', '--profile', 'nobody'], { env })).stderr).toContain(
      'there are prod, dead',
    );
    expect(await readFile(path, 'utf8')).not.toContain('.part');
    await chmod(path, 0o644);
    expect((await cli.run(['plans'], { env })).stderr).toContain(`chmod 600 ${path}`);
    // Where the environment names the gateway no profile is read.
    const named = { ...env, TOLLGATE_URL: cli.url, TOLLGATE_ADMIN_KEY: ADMIN_KEY };
    expect((await cli.run(['plans'], { env: named })).code).toBe(0);
  });
});

describe('export', () => {
  it('writes calls to stdout or a file that is whole', async () => {
    const { stdout } = await cli.run(['export', 'events']);
    expect(stdout).toMatch(/^created_at,id,team_id/);
    const out = join(cli.home, 'calls.csv');
    expect(await cli.run(['export', 'events', '--out', out])).toMatchObject({ code: 0, stdout: '' });
    expect(await readFile(out, 'utf8')).toBe(stdout);
    const statement = await cli.run([
      'export',
      'statement',
      'Paged 0',
      '--month',
      '2026-10',
      '--format',
      'csv',
    ]);
    expect(statement.code).toBe(0);
    expect((await cli.run(['export', 'calls'])).stdout).toBe(stdout);
    const charges = ['--from', '2026-11-01', '--to', '2026-12-01'];
    expect((await cli.run(['export', 'focus', ...charges])).stdout).toMatch(/^BilledCost,/);
    const { stderr } = await cli.run(['export', 'nothing']);
    expect(stderr).toMatch(
      /there is no 'nothing'[\s\S]+ {2}statement ID[\s\S]+ {2}department-statement ID[\s\S]+ {2}labels/,
    );
    await writeFile(join(cli.home, 'folder-taken'), '');
    expect((await cli.run(['export', 'events', '--out', join(cli.home, 'folder-taken/x.csv')])).code).toBe(1);
  });
});

describe('the program', () => {
  it('runs a command as a process, with its exit code', async () => {
    const run = (args: string[]) =>
      promisify(execFile)(process.execPath, ['bin/tollgate.mjs', ...args], {
        env: { ...process.env, TOLLGATE_URL: cli.url, TOLLGATE_ADMIN_KEY: ADMIN_KEY, HOME: cli.home },
      });
    expect(JSON.parse((await run(['plans', '--json'])).stdout).data).toContainEqual(
      expect.objectContaining({ name: 'free-tier' }),
    );
    await expect(run(['plans', 'show', 'nobody'])).rejects.toMatchObject({ code: 1 });
    await expect(run(['plans', 'paint'])).rejects.toMatchObject({ code: 2 });
  });

  it('ends in peace when its reader has enough', async () => {
    const env = { ...process.env, TOLLGATE_URL: cli.url, TOLLGATE_ADMIN_KEY: ADMIN_KEY, HOME: cli.home };
    const child = spawn(process.execPath, ['bin/tollgate.mjs', 'plans'], { env });
    child.stdout.destroy();
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    expect([said, code]).toEqual(['', 0]);
  });
});
