import { expect, it } from 'vitest';
import { asId, type GrantId, type LimitId } from '../../src/domain/ids.ts';
import { warningHeader } from '../../src/domain/warning.ts';

const LIMIT = { sourceId: asId<LimitId>('limit-1'), endUser: null, percent: 80, untilMs: 1_000 };
const GRANT = { sourceId: asId<GrantId>('grant-1'), endUser: null, percent: 50, untilMs: null };

it('the header names each budget and the percent that it has reached', () => {
  expect(warningHeader([LIMIT, GRANT], null, 999)).toBe('limit-1; percent=80, grant-1; percent=50');
});

it('the header ends with the window of its warning', () => {
  expect(warningHeader([LIMIT, GRANT], null, 1_000)).toBe('grant-1; percent=50');
  expect(warningHeader([LIMIT], null, 1_000)).toBeNull();
});

it('a warning of an end user is in the header of that user’s calls alone', () => {
  const ann = { ...LIMIT, endUser: 'ann' };
  expect(warningHeader([ann, GRANT], 'ann', 0)).toBe('limit-1; percent=80, grant-1; percent=50');
  expect(warningHeader([ann, GRANT], 'bob', 0)).toBe('grant-1; percent=50');
  expect(warningHeader([ann], null, 0)).toBeNull();
});
