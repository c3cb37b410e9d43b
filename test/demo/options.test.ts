import { describe, expect, it } from 'vitest';
import { readOptions } from '../../src/demo/options.ts';

describe('the options of the demo', () => {
  it('have defaults', () => {
    expect(readOptions([])).toEqual({
      port: 8787,
      dataDir: './data/demo',
      callsPerSecond: 6,
      durationSeconds: null,
      against: null,
    });
  });

  it('are read as written', () => {
    const argv = [
      '--port',
      '9000',
      '--data-dir=/tmp/x',
      '--rate',
      '0.5',
      '--duration',
      '10',
      '--against',
      'http://gateway:8787/',
    ];
    expect(readOptions(argv)).toEqual({
      port: 9000,
      dataDir: '/tmp/x',
      callsPerSecond: 0.5,
      durationSeconds: 10,
      against: 'http://gateway:8787',
    });
  });

  it.each([
    ['--port', '0'],
    ['--port', '80.5'],
    ['--rate', '-1'],
    ['--rate', 'fast'],
    ['--duration', '0'],
    ['--against', 'gateway:8787'],
    ['--against', 'http://gateway:8787/v1'],
  ])('report an invalid %s by name: %s', (name, value) => {
    expect(readOptions([`${name}=${value}`])).toEqual({ problem: expect.stringContaining(name) });
  });

  it('report an unknown option by name', () => {
    expect(readOptions(['--speed', '3'])).toEqual({ problem: expect.stringContaining('--speed') });
  });
});
