/** The judge of rolling windows, who must see one call too many, wherever the window begins. */
import { expect, it } from 'vitest';
import { brokenRollingPromises, judgeWindow, LIMIT, type Moment } from '../../bench/attack/window.ts';

const FACTS = { pattern: 'p', even: true, replicas: 4, seconds: 120, kills: 0, asked: 2000 };
const at = (ms: number): Moment => ({ admittedMs: ms, arrivedMs: ms });
/** The limit's worth of calls over a minute, from a moment on. */
const fullMinute = (fromMs: number) => Array.from({ length: LIMIT }, (_, index) => at(fromMs + index * 100));

it('finds nothing where the limit is used up and kept', () => {
  const row = judgeWindow(FACTS, [...fullMinute(0), ...fullMinute(60_000)]);
  expect(row).toMatchObject({ most: LIMIT, mostAtUpstream: LIMIT, firstMinute: LIMIT, perMinute: LIMIT });
  expect(brokenRollingPromises(row)).toEqual([]);
});

it('finds one call too many in a window that begins anywhere', () => {
  const row = judgeWindow(FACTS, [...fullMinute(0), ...fullMinute(60_000), at(61_234)]);
  expect(row.most).toBe(LIMIT + 1);
  expect(brokenRollingPromises(row)).toEqual([`p: ${LIMIT + 1} calls admitted in 60 s`]);
});

it('counts a call that was killed on its way as admitted', () => {
  const row = judgeWindow(FACTS, [...fullMinute(0), { admittedMs: 59_950, arrivedMs: null }]);
  expect(row).toMatchObject({ most: LIMIT + 1, mostAtUpstream: LIMIT });
});

it('finds a limit of which too little could be used, where the calls come evenly', () => {
  const row = judgeWindow(FACTS, fullMinute(0));
  expect(brokenRollingPromises(row)).toEqual(['p: only 300 a minute on average']);
  expect(brokenRollingPromises({ ...row, even: false })).toEqual([]);
});
