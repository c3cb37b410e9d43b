/**
 * The house's rules as a test: the import table of the architecture, sizes, and pages that agree with the code.
 * Each rule is a function over a list of files, and is fed a bad one first: a rule that cannot fail proves nothing.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SETTINGS } from '../src/config.ts';
import { ERRORS } from '../src/domain/errors.ts';
import { OPERATIONS } from '../src/openai/operations/table.ts';
import { METRICS } from '../src/telemetry/names.ts';
import { circles, floors, packages, type SourceFile } from './tidy/imports.ts';
import { brokenLinks } from './tidy/links.ts';
import { bundledNodes, inexact, type Lock, type Manifest, resolved, unlocked } from './tidy/lock.ts';
import {
  differences,
  openEnds,
  operationNames,
  repeated,
  sizes,
  splinters,
  tableRows,
  types,
  words,
} from './tidy/text.ts';
import { timers } from './tidy/timers.ts';

const ROOT = new URL('../', import.meta.url).pathname;
const CODE = ['src', 'test', 'bench', 'bin', 'grafana'].map((folder) => `${folder}/**/*.{ts,tsx,mjs,js}`);
const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');
const house: SourceFile[] = globSync([...CODE, '*.config.ts'], {
  cwd: ROOT,
  exclude: ['**/node_modules/**', '**/.peers/**', '**/dist/**'],
}).map((path) => ({ path: path.replaceAll('\\', '/'), text: read(path) }));

const file = (path: string, text: string): SourceFile => ({ path, text });
const importing = (path: string, target: string) => file(path, `import { x } from '${target}';\n`);

describe('imports', () => {
  it('point down to the floors below', () => {
    expect(floors(house)).toEqual([]);
  });

  it.each([
    ['src/domain/money.ts', '../store/events.ts'],
    ['src/openai/usage.ts', '../store/events.ts'],
    ['src/telemetry/log.ts', '../config.ts'],
    ['src/ledger/ledger.ts', '../store/hot/leases.ts'],
    ['src/auth/keys.ts', '../ledger/ledger.ts'],
    ['src/admission/decide.ts', '../ledger/ledger.ts'],
    ['src/admission/queue.ts', '../store/hot/leases.ts'],
    ['src/gateway/pipeline.ts', '../admin/teams.ts'],
    ['src/simulator/server.ts', '../domain/money.ts'],
    ['src/console/main.ts', '../admin/teams.ts'],
    ['src/store/events.ts', '../../test/database.ts'],
    ['src/helpers/strings.ts', 'node:util'],
  ])('%s may not import %s', (path, target) => {
    expect(floors([importing(path, target)])).toHaveLength(1);
  });

  it.each([
    ['src/gateway/pipeline.ts', '../ledger/ledger.ts'],
    ['src/console/main.ts', '../admin/contract/teams.ts'],
    ['src/main.ts', './simulator/server.ts'],
    ['src/store/events.ts', '../domain/money.ts'],
    ['src/store/seed/load.ts', '../events.ts'],
    ['src/store/events.ts', 'postgres'],
  ])('%s may import %s', (path, target) => {
    expect(floors([importing(path, target)])).toEqual([]);
  });

  it.each([
    "import type { Lease } from '../store/hot/leases.ts';",
    "import type {\n  Lease,\n} from '../store/hot/leases.ts';",
    "export type { Lease } from '../telemetry/metrics.ts';",
  ])('let ledger and auth know the types of store and telemetry: %s', (text) => {
    expect(floors([file('src/ledger/ledger.ts', text)])).toEqual([]);
  });

  it.each([
    "import '../store/hot/leases.ts';",
    "import {\n  lease,\n} from '../store/hot/leases.ts';",
    "export * from '../store/hot/leases.ts';",
    "const store = await import('../store/hot/leases.ts');",
    "import { type Lease } from '../store/hot/leases.ts';",
  ])('are found however they are written: %s', (text) => {
    expect(floors([file('src/ledger/ledger.ts', text)])).toHaveLength(1);
  });

  it('go round in no circle', () => {
    expect(circles(house)).toEqual([]);
    const circle = [
      importing('src/store/a.ts', './b.ts'),
      importing('src/store/b.ts', './c/d.ts'),
      file('src/store/c/d.ts', "import type { A } from '../a.ts';"),
    ];
    expect(circles(circle)).toEqual([
      'circle: src/store/a.ts → src/store/b.ts → src/store/c/d.ts → src/store/a.ts',
    ]);
  });

  it('keep drizzle-orm in the store and the outside world out of the domain', () => {
    expect(packages(house)).toEqual([]);
    expect(packages([importing('src/admin/teams.ts', 'drizzle-orm/pg-core')])).toHaveLength(1);
    expect(packages([importing('src/domain/window.ts', 'node:fs')])).toHaveLength(1);
    expect(packages([importing('src/store/schema.ts', 'drizzle-orm')])).toEqual([]);
  });
});

describe('files', () => {
  it('have at most 400 lines', () => {
    expect(sizes(house)).toEqual([]);
    expect(sizes([file('src/main.ts', 'x\n'.repeat(401))])).toHaveLength(1);
    expect(sizes([file('src/main.ts', 'x\n'.repeat(400))])).toEqual([]);
  });

  it('are, in each room, not most of them splinters of under 50 lines', () => {
    expect(splinters(house)).toEqual([]);
    const small = file('src/domain/a.ts', 'x\n'.repeat(49));
    const whole = file('src/domain/b.ts', 'x\n'.repeat(50));
    expect(splinters([small, small, whole])).toHaveLength(1);
    expect(splinters([small, whole])).toEqual([]);
  });

  it('do not ask which operation a call is, but for the table of operations', () => {
    const served = OPERATIONS.filter(({ reason }) => reason === null);
    const names = served.map(({ name }) => name);
    expect(operationNames(house, names)).toEqual([]);
    const bad = ["if (name === 'responses')", "'embeddings' !== name", "case 'chat.completions':"];
    for (const text of bad) {
      expect(operationNames([file('src/gateway/a.ts', text)], names), text).toHaveLength(1);
      expect(operationNames([file('src/openai/operations/a.ts', text)], names)).toEqual([]);
    }
  });

  it('have timers where work repeats in jobs, and else for a listed reason alone', () => {
    expect(timers(house)).toEqual([]);
    const delay = file('src/ledger/ledger.ts', 'const timer = setTimeout(done, 5);\n');
    expect(timers([delay], [], [])).toEqual(['src/ledger/ledger.ts: a delay without a reason']);
    expect(timers([delay], [delay.path], [])).toEqual([]);
    const imported = file('src/main/a.ts', "import { setTimeout as delay } from 'node:timers/promises';\n");
    expect(timers([imported], [], [])).toHaveLength(1);
    const repeated = file('src/main/a.ts', 'setInterval(look, 5);\n');
    expect(timers([repeated], [repeated.path], [])).toHaveLength(2);
    expect(timers([file('src/main/a.ts', '// no setInterval here\n')], [], [])).toEqual([]);
    expect(timers([], ['src/main/a.ts'], ['src/main/b.ts'])).toHaveLength(2);
  });

  it('are written in plain words', () => {
    expect(words(house)).toEqual([]);
    const bad = [
      '/** Answers how many rows there are. */',
      '// Nobody reads it any more.',
      '/**\n * Read anew\n */',
      'const refusal = 1;',
      'function throwFault() {}',
      'interface RefundOptions {}',
    ];
    for (const text of bad) expect(words([file('src/main.ts', text)]), text).toHaveLength(1);
    const good = ["const text = 'refusal'; // returns the default", 'const renewed = defaults;'];
    for (const text of good) expect(words([file('src/main.ts', text)]), text).toEqual([]);
  });

  it('switch off no type', () => {
    expect(types(house)).toEqual([]);
    const word = ['a', 'ny'].join('');
    const bad = [
      `let x: ${word};`,
      `f(x as ${word})`,
      `Map<string, ${word}>`,
      `type X = ${word}`,
      `${word}[] | Y<${word}>`,
    ];
    for (const text of [...bad, `// @${'ts'}-ignore`]) {
      expect(types([file('src/main.ts', text)]), text).toHaveLength(1);
    }
    expect(types([file('src/main.ts', '// in any case, of any kind: any call\n')])).toEqual([]);
  });

  it('leave no open end without an owner', () => {
    expect(openEnds(house)).toEqual([]);
    const mark = ['TO', 'DO'].join('');
    expect(openEnds([file('src/main.ts', `// ${mark}: later`)])).toHaveLength(1);
    expect(openEnds([file('src/main.ts', `// ${mark}(maintainers): later`)])).toEqual([]);
  });
});

describe('pages', () => {
  it('walk through a call with every hop a link, and no file twice', () => {
    const page = read('docs/ARCHITECTURE.md');
    const walk = page.slice(page.indexOf('## A call, hop by hop'));
    expect(repeated(walk)).toEqual([]);
    expect(repeated('[a](../src/a.ts) [b](../src/b.ts) [again](../src/a.ts)')).toEqual(['../src/a.ts']);
  });

  it('list every error code with its kind, status, type and whether to retry, and no other', () => {
    const inCode = Object.entries(ERRORS).map(([code, { kind, status, type, retryable }]) =>
      [code, kind, status, type, retryable ? 'yes' : 'no'].join(' '),
    );
    const onPage = tableRows(read('docs/ERRORS.md').split('\n## ', 1)[0] ?? '').map((cells) =>
      cells.slice(0, 5).join(' '),
    );
    expect(differences(inCode, onPage)).toEqual([]);
  });

  it('list every setting with its default, and no other', () => {
    const inCode = Object.values(SETTINGS).map(({ name, default: text }) => `${name} ${text ?? 'unset'}`);
    const onPage = tableRows(read('docs/CONFIG.md')).map((cells) => cells.slice(0, 2).join(' '));
    expect(differences(inCode, onPage)).toEqual([]);
  });

  it('offer every setting in the template, with its default', () => {
    const inCode = Object.values(SETTINGS).map(({ name, default: text }) => `${name}=${text ?? ''}`);
    const onPage = read('.env.example').match(/(?<=^#)[A-Z_]+=.*$/gm) ?? [];
    // What else docker-compose.yml reads is its own: passwords, and where alerts go.
    const settings = new Set<string>(Object.values(SETTINGS).map(({ name }) => name));
    const inCompose = new Set(read('docker-compose.yml').match(/(?<=[^$]\$\{)[A-Z_]+/g));
    const ofCompose = [...inCompose].filter((name) => !settings.has(name)).map((name) => `${name}=`);
    expect(differences([...inCode, ...ofCompose], onPage)).toEqual([]);
  });

  it('list every metric with its type and labels, and no other', () => {
    const inCode = Object.entries(METRICS).map(([name, { type, labels }]) =>
      [name, type, ...labels].join(' '),
    );
    const onPage = tableRows(read('docs/METRICS.md')).map(([name, type, labels]) =>
      [name, type, ...(labels === '' ? [] : labels!.split(', '))].join(' '),
    );
    expect(differences(inCode, onPage)).toEqual([]);
  });

  it('are compared both ways', () => {
    expect(differences(['a', 'b'], ['b', 'c'])).toEqual(['not on the page: a', 'not in the code: c']);
    expect(tableRows('| Name | Meaning |\n|---|---|\n| `a` | of `b` |\ntext')).toEqual([['a', 'of b']]);
  });

  it('link to files and headings that are there', () => {
    const paths = globSync(['*.md', '.github/**/*.md', '{docs,src,test,bench,grafana,drizzle}/**/*.md'], {
      cwd: ROOT,
      exclude: ['**/node_modules/**', '**/.peers/**'],
    });
    const all = paths.map((path) => file(path.replaceAll('\\', '/'), read(path)));
    expect(brokenLinks(all, (path) => existsSync(`${ROOT}${path}`))).toEqual([]);

    const links = '[a](b.md) [c](../README.md#two-words) [d](#here) [e](https://example.com/x) [f](c.md#it)';
    const bad = [file('docs/a.md', `# Here\n${links}\n`), file('README.md', '## Two `words`!\n')];
    const there = ['docs/a.md', 'README.md', 'docs/c.md'];
    expect(brokenLinks(bad, (path) => there.includes(path))).toEqual([
      'docs/a.md: b.md leads nowhere',
      'docs/a.md: c.md#it leads nowhere',
    ]);
  });
});

describe('packages', () => {
  const manifest = JSON.parse(read('package.json')) as Manifest;
  const lock = JSON.parse(read('package-lock.json')) as Lock;
  const locked = (packages: Lock['packages']): Lock => ({ packages });
  const integrity = 'sha512-x';

  it('have one exact version each', () => {
    expect(inexact(manifest)).toEqual([]);
    const good = { a: '1.2.3', b: '1.2.3-beta.1', c: 'npm:@x/d@1.2.3' };
    expect(inexact({ dependencies: good, devDependencies: { d: '^1.2.3' } })).toEqual([
      'd ^1.2.3: not one exact version',
    ]);
  });

  it('are locked for every platform, so that npm ci works on each', () => {
    expect(unlocked(lock)).toEqual([]);
    const root = { dependencies: { a: '1.0.0' }, optionalDependencies: { 'b-win32': '1.0.0' } };
    const a = { integrity, optionalDependencies: { 'a-linux': '1.0.0', 'a-darwin': '1.0.0' } };
    const packages = {
      '': root,
      'node_modules/a': a,
      'node_modules/a/node_modules/a-linux': { integrity },
      'node_modules/c': {},
    };
    expect(unlocked(locked(packages))).toEqual([
      'the root: b-win32 is not in the lock file',
      'node_modules/a: a-darwin is not in the lock file',
      'node_modules/c: no integrity',
    ]);
  });

  it('are locked without the address of a registry', () => {
    expect(resolved(lock)).toEqual([]);
    expect(
      resolved(locked({ 'node_modules/a': { integrity, resolved: 'https://example.com/a.tgz' } })),
    ).toHaveLength(1);
  });

  it('bring one major of Node on every platform, the one that the launcher asks for', () => {
    const nodes = bundledNodes(manifest);
    const launcher = read('bin/tollgate.mjs');
    const major = /OLDEST_NODE_MAJOR = (\d+)/.exec(launcher)?.[1];
    expect(Object.values(nodes).map((version) => version.split('.')[0])).toEqual(Array(5).fill(major));
    const known = [...launcher.matchAll(/'\w+-\w+': '(node-[\w-]+)'/g)].map(([, name]) => name);
    expect(known.sort()).toEqual(Object.keys(nodes).sort());
  });
});
