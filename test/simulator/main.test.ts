import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { run } from '../../src/simulator/main.ts';

const MAIN = new URL('../../src/simulator/main.ts', import.meta.url);
const SCRIPT = `import { run } from ${JSON.stringify(MAIN.href)}; await run(process.argv.slice(1));`;

it.each(['SIGINT', 'SIGTERM'] as const)(
  'prints where it listens, serves, and stops on %s',
  async (signal) => {
    const args = ['--input-type=module', '-e', SCRIPT, '--', '--port', '0', '--mode', 'worst'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const [banner] = await once(child.stdout, 'data');
    const url = /http:\S+\/v1/.exec(String(banner))?.[0];
    const hanging = fetch(`${url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer x', 'x-simulator': 'fault=hang' },
      body: '{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}',
    }).catch(() => 'cut');
    expect(await (await fetch(`${url?.slice(0, -3)}/profile`)).json()).toMatchObject({ mode: 'worst' });
    child.kill(signal);
    expect(await exited).toEqual([0, null]);
    expect(await hanging).toBe('cut');
  },
);

it('says what is wrong with an argument', async () => {
  await expect(run(['--mode', 'best'])).rejects.toThrow('--mode is normal or worst');
  await expect(run(['--port', 'http'])).rejects.toThrow('--port is a whole number');
  await expect(run(['--faults', 'some'])).rejects.toThrow('--faults is one of none, mild, chaos, not "some"');
  await expect(run(['--prot', '1'])).rejects.toThrow('--prot');
});
