/**
 * The house's rules as a test: the import table of the architecture, sizes, and pages that agree with the code.
 * Each rule is a function over a list of files, and is fed a bad one first: a rule that cannot fail proves nothing.
 */
import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SETTINGS } from '../src/config.ts';
import { ERRORS } from '../src/domain/errors.ts';
import { METRICS } from '../src/telemetry/names.ts';
import { circles, floors, packages, type SourceFile } from './tidy/imports.ts';
import { differences, openEnds, sizes, tableRows, types } from './tidy/text.ts';

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
    ['src/ledger/book.ts', '../store/hot/leases.ts'],
    ['src/auth/keys.ts', '../ledger/book.ts'],
    ['src/gateway/pipeline.ts', '../admin/teams.ts'],
    ['src/simulator/server.ts', '../domain/money.ts'],
    ['src/console/main.ts', '../admin/teams.ts'],
    ['src/cli.ts', './domain/money.ts'],
    ['src/store/events.ts', '../../test/database.ts'],
    ['src/helpers/strings.ts', 'node:util'],
  ])('%s may not import %s', (path, target) => {
    expect(floors([importing(path, target)])).toHaveLength(1);
  });

  it.each([
    ['src/gateway/pipeline.ts', '../ledger/book.ts'],
    ['src/console/main.ts', '../admin/contract/teams.ts'],
    ['src/cli.ts', './admin/contract.ts'],
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
    expect(floors([file('src/ledger/book.ts', text)])).toEqual([]);
  });

  it.each([
    "import '../store/hot/leases.ts';",
    "import {\n  lease,\n} from '../store/hot/leases.ts';",
    "export * from '../store/hot/leases.ts';",
    "const store = await import('../store/hot/leases.ts');",
    "import { type Lease } from '../store/hot/leases.ts';",
  ])('are found however they are written: %s', (text) => {
    expect(floors([file('src/ledger/book.ts', text)])).toHaveLength(1);
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
  it('list every error code with its kind, status, type and whether to retry, and no other', () => {
    const inCode = Object.entries(ERRORS).map(([code, { kind, status, type, retryable }]) =>
      [code, kind, status, type, retryable ? 'yes' : 'no'].join(' '),
    );
    const onPage = tableRows(read('docs/ERRORS.md')).map((cells) => cells.slice(0, 5).join(' '));
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
});
