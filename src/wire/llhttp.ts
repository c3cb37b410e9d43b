/**
 * llhttp, the HTTP/1 parser of Node and undici, in the WebAssembly build that undici carries: its functions by name, once
 * for the process. Driving it is message.ts's.
 */
import { createRequire } from 'node:module';

type WasmFunction = (...args: number[]) => number;
export type Callbacks = Record<string, WasmFunction>;

/** The part of the global that is used here; the library's types come with the DOM only. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: Callbacks }) => { exports: Record<string, unknown> };
};

/**
 * Loads the library; what it finds it says by `callbacks`. Returns its functions and its memory.
 * @throws when undici carries another library than this code knows
 */
export function loadLlhttp(callbacks: Callbacks) {
  const exports = instance(callbacks).exports;
  const wasmFunction = (name: string): WasmFunction => {
    const found = exports[name];
    if (isWasmFunction(found)) return found;
    throw new Error(`undici's llhttp has no ${name}`);
  };
  return {
    alloc: wasmFunction('llhttp_alloc'),
    free: wasmFunction('llhttp_free'),
    execute: wasmFunction('llhttp_execute'),
    finish: wasmFunction('llhttp_finish'),
    resume: wasmFunction('llhttp_resume'),
    errorAt: wasmFunction('llhttp_get_error_pos'),
    errorName: wasmFunction('llhttp_errno_name'),
    method: wasmFunction('llhttp_get_method'),
    methodName: wasmFunction('llhttp_method_name'),
    major: wasmFunction('llhttp_get_http_major'),
    minor: wasmFunction('llhttp_get_http_minor'),
    malloc: wasmFunction('malloc'),
    freeMemory: wasmFunction('free'),
    memory: () => memoryOf(exports),
  };
}

function instance(callbacks: Callbacks) {
  const require = createRequire(import.meta.url);
  try {
    return new WebAssembly.Instance(
      new WebAssembly.Module(bytesOf(require('undici/lib/llhttp/llhttp_simd-wasm.js'))),
      {
        env: callbacks,
      },
    );
  } catch {
    // A processor without SIMD.
    return new WebAssembly.Instance(
      new WebAssembly.Module(bytesOf(require('undici/lib/llhttp/llhttp-wasm.js'))),
      {
        env: callbacks,
      },
    );
  }
}

function bytesOf(module: unknown): Uint8Array {
  if (module instanceof Uint8Array) return module;
  throw new Error('undici carries its llhttp in another form than this code knows');
}

function isWasmFunction(value: unknown): value is WasmFunction {
  return typeof value === 'function';
}

/** Grows when more is reserved; then what pointed to the old one has no length any more. */
function memoryOf({ memory }: Record<string, unknown>): ArrayBuffer {
  if (
    typeof memory === 'object' &&
    memory !== null &&
    'buffer' in memory &&
    memory.buffer instanceof ArrayBuffer
  ) {
    return memory.buffer;
  }
  throw new Error("undici's llhttp has no memory");
}
