/** Prints what became of each client in each scenario: `ok`, or why not. */
import type { Reporter, TestCase, TestModule } from 'vitest/node';

export class ClientTable implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state !== 'passed') process.stdout.write(`${state}: ${test.fullName}\n`);
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = new Map<string, Map<string, string>>();
    const scenarios = new Set<string>();
    const reasons: string[] = [];
    for (const module of modules) {
      for (const { message } of module.errors()) reasons.push(`${module.moduleId}: ${message}`);
      for (const test of module.children.allTests()) {
        const client = test.parent.type === 'suite' ? test.parent.name : module.moduleId;
        const row = rows.get(client) ?? new Map<string, string>();
        rows.set(client, row.set(test.name, cell(test)));
        scenarios.add(test.name);
        const [error] = test.result().errors ?? [];
        if (error) reasons.push(`${client}, ${test.name}: ${error.stack ?? error.message}`);
      }
    }
    const columns = [...scenarios];
    const table = [...rows].map(([client, row]) => [client, ...columns.map((name) => row.get(name) ?? '')]);
    const all = [['client', ...columns], ...table];
    const widths = (all[0] ?? []).map((_, at) => Math.max(...all.map((line) => (line[at] ?? '').length)));
    const lines = all.map((line) =>
      line
        .map((text, at) => text.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    );
    process.stdout.write(`\n${lines.join('\n')}\n\n${reasons.map((one) => `${one}\n\n`).join('')}`);
  }
}

function cell(test: TestCase): string {
  const { state } = test.result();
  return state === 'passed' ? 'ok' : state === 'skipped' ? 'skipped' : 'FAILED';
}
