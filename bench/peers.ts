/**
 * The gateways of others that the bench compares with: exact versions in `package.json` here, installed on first use.
 *
 * `@portkey-ai/gateway` 1.15.2 asks for `@hono/node-server` ^1.3.3, but from 1.14.2 on its streams answer 500 ("immutable",
 * known to its makers); the manifest overrides it with the newest version under which all calls of the bench work.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MANIFEST = fileURLToPath(new URL('package.json', import.meta.url));
const PEERS_DIR = fileURLToPath(new URL('.peers', import.meta.url));
const INSTALLED_MANIFEST = `${PEERS_DIR}/package.json`;
/** npm writes it when an install is complete. */
const INSTALL_RECORD = `${PEERS_DIR}/node_modules/.package-lock.json`;

/** Installs the peers unless the wanted versions are there. Throws when npm fails. */
function installPeers(): void {
  const wanted = readFileSync(MANIFEST, 'utf8');
  if (existsSync(INSTALL_RECORD) && readFileSync(INSTALLED_MANIFEST, 'utf8') === wanted) return;
  process.stderr.write('installing the peers into bench/.peers\n');
  rmSync(PEERS_DIR, { recursive: true, force: true });
  mkdirSync(PEERS_DIR);
  copyFileSync(MANIFEST, INSTALLED_MANIFEST);
  // No install scripts: the measured code needs none, and what is only measured should not run at install.
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', '--prefix', PEERS_DIR, ...flags], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** The folder and version of a peer, which is installed if need be. */
export function installedPeer(name: string): { dir: string; version: string } {
  installPeers();
  const dir = `${PEERS_DIR}/node_modules/${name}`;
  const { version } = JSON.parse(readFileSync(`${dir}/package.json`, 'utf8'));
  return { dir, version };
}
