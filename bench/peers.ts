/**
 * The gateways of others that the bench compares with, in exact versions, installed into `bench/.peers` on first use.
 *
 * `@portkey-ai/gateway` 1.15.2 asks for `@hono/node-server` ^1.3.3, but from 1.14.2 on its streams return 500 ("immutable",
 * known to its makers); the manifest overrides it with the newest version under which all calls of the bench work.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const PEERS_DIR = fileURLToPath(new URL('.peers', import.meta.url));
/** No install scripts: the measured code needs none, and what is only measured should not run at install. */
export const NPM_INSTALL_FLAGS = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];

const MANIFEST = fileURLToPath(new URL('package.json', import.meta.url));
const NPM_DIR = `${PEERS_DIR}/npm`;
/** npm writes it when an install is complete. */
const INSTALL_RECORD = `${NPM_DIR}/node_modules/.package-lock.json`;

const LITELLM_VERSION = '1.108.7';
const LITELLM_DIR = `${PEERS_DIR}/litellm-${LITELLM_VERSION}`;

function run(command: string, parameters: string[]): void {
  execFileSync(command, parameters, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Installs the peers from npm unless the wanted versions are there. Throws when npm fails. */
function installFromNpm(): void {
  const wanted = readFileSync(MANIFEST, 'utf8');
  if (existsSync(INSTALL_RECORD) && readFileSync(`${NPM_DIR}/package.json`, 'utf8') === wanted) return;
  process.stderr.write('installing peers from npm into bench/.peers\n');
  rmSync(NPM_DIR, { recursive: true, force: true });
  mkdirSync(NPM_DIR, { recursive: true });
  copyFileSync(MANIFEST, `${NPM_DIR}/package.json`);
  run('npm', ['install', '--prefix', NPM_DIR, ...NPM_INSTALL_FLAGS]);
}

/** Returns the folder and version of a peer from npm, which is installed if need be. */
export function installedPeer(name: string): { dir: string; version: string } {
  installFromNpm();
  const dir = `${NPM_DIR}/node_modules/${name}`;
  const { version } = JSON.parse(readFileSync(`${dir}/package.json`, 'utf8'));
  return { dir, version };
}

/**
 * Returns the program of LiteLLM's proxy, which is installed into a virtual environment if need be (some 750 MB). Throws
 * when there is no Python 3 with `venv`, or when pip fails.
 */
export function installedLitellm(): { program: string; version: string } {
  const complete = `${LITELLM_DIR}/.complete`;
  if (!existsSync(complete)) {
    process.stderr.write('installing LiteLLM from PyPI into bench/.peers\n');
    rmSync(LITELLM_DIR, { recursive: true, force: true });
    mkdirSync(PEERS_DIR, { recursive: true });
    run('python3', ['-m', 'venv', LITELLM_DIR]);
    run(`${LITELLM_DIR}/bin/pip`, ['install', '--quiet', `litellm[proxy]==${LITELLM_VERSION}`]);
    writeFileSync(complete, '');
  }
  return { program: `${LITELLM_DIR}/bin/litellm`, version: LITELLM_VERSION };
}
