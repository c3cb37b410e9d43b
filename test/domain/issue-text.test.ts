import { expect, it } from 'vitest';
import { z } from 'zod';
import { issueText } from '../../src/domain/issue-text.ts';

const schema = z.strictObject({
  count: z.int().min(1).max(9).optional(),
  share: z.number().gt(0).optional(),
  name: z.string().min(2).max(3).optional(),
  list: z.array(z.string()).min(1).max(2).optional(),
  way: z.enum(['up', 'down']).optional(),
  on: z.boolean().optional(),
  own: z.string({ error: 'must be a colour' }).optional(),
  wanted: z.literal('yes'),
});

it.each([
  [{}, 'wanted: must be given'],
  [{ wanted: 'no' }, 'wanted: must be yes'],
  [{ count: 0 }, 'count: must be at least 1'],
  [{ count: 10 }, 'count: must be at most 9'],
  [{ count: '1' }, 'count: must be a number'],
  [{ count: 1.5 }, 'count: must be a whole number'],
  [{ share: 0 }, 'share: must be more than 0'],
  [{ name: 'a' }, 'name: must have at least 2 characters'],
  [{ name: 'abcd' }, 'name: must have at most 3 characters'],
  [{ list: [] }, 'list: must have at least 1 entry'],
  [{ list: ['a', 'b', 'c'] }, 'list: must have at most 2 entries'],
  [{ list: 'a' }, 'list: must be a list'],
  [{ way: 'left' }, 'way: must be one of up, down'],
  [{ on: 'yes' }, 'on: must be true or false'],
  [{ own: 1 }, 'own: must be a colour'],
  [{ more: 1 }, ": has no 'more'"],
])('%j: %s', (given, text) => {
  const { error } = schema.safeParse(
    'wanted' in given || text.startsWith('wanted') ? given : { wanted: 'yes', ...given },
    {
      error: issueText,
    },
  );
  expect(error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)).toEqual([text]);
});
