import { describe, expect, it } from 'vitest';
import { type Line, readLine } from '../../src/main/command-line.ts';

function textOf(argv: string[]): string {
  const line = readLine(argv);
  expect(line).toHaveProperty('text');
  return 'text' in line ? line.text : '';
}

describe('the command line', () => {
  it.each<[string[], Line]>([
    [['serve'], { kind: 'run', name: 'serve', args: [] }],
    [['migrate'], { kind: 'run', name: 'migrate', args: [] }],
    [['journal', 'replay', 'a b.log'], { kind: 'run', name: 'journal replay', args: ['a b.log'] }],
    [['journal', 'replay', '--', '-odd.log'], { kind: 'run', name: 'journal replay', args: ['-odd.log'] }],
    [['--version'], { kind: 'version' }],
    [['-v'], { kind: 'version' }],
  ])('%j names one command', (argv, line) => {
    expect(readLine(argv)).toEqual(line);
  });

  it.each(['demo', 'simulator', 'estimate', 'teams', 'apply'] as const)(
    'hands all arguments to %s, --help included',
    (name) => {
      const args = ['--port', '0', '--help'];
      expect(readLine([name, ...args])).toEqual({ kind: 'run', name, args });
    },
  );

  it.each([[[]], [['--help']], [['-h']], [['help']]])('%j lists every command', (argv) => {
    expect(readLine(argv).kind).toBe('help');
    for (const name of [
      'serve',
      'demo',
      'simulator',
      'check-config',
      'migrate',
      'distribute',
      'estimate KIND',
      'journal replay FILE',
    ])
      expect(textOf(argv)).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  it.each([
    [['serve', '--help'], 'Usage: tollgate serve\n'],
    [['migrate', '-h'], 'Usage: tollgate migrate\n'],
    [['journal', 'replay', '--help'], 'Usage: tollgate journal replay FILE\n'],
    [['journal', '--help'], 'Usage: tollgate journal replay FILE\n'],
  ])('%j explains that command', (argv, usage) => {
    expect(readLine(argv).kind).toBe('help');
    expect(textOf(argv)).toContain(usage);
  });

  it.each([
    [['team'], "there is no command 'team': 'tollgate --help' lists what there is\n"],
    [['--port'], "there is no option '--port': 'tollgate --help' lists what there is\n"],
    [['journal'], "there is no command 'journal'\n\nUsage: tollgate journal replay FILE\n"],
    [['journal', 'erase'], "there is no command 'journal erase'\n\nUsage: tollgate journal replay FILE\n"],
    [['toString'], "there is no command 'toString'"],
    [['serve', 'now'], 'serve takes no arguments, found now\n\nUsage: tollgate serve\n'],
    [['journal', 'replay'], 'journal replay takes FILE, found none\n\nUsage: tollgate journal replay FILE\n'],
    [['serve', '--port', '1'], "serve: Unknown option '--port'\n\nUsage: tollgate serve\n"],
  ])('%j is wrong, and what would be right follows', (argv, text) => {
    expect(readLine(argv).kind).toBe('wrong');
    expect(textOf(argv)).toContain(text);
  });
});
