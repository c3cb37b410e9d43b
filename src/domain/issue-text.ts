/** What is wrong with a field of a request or a file, as people read it after the field's name: `must be at least 1`. Pure. */
import type { z } from 'zod';

/** Names of types, as JSON has them. */
const TYPES: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

/**
 * Returns the text of an issue; undefined: the parser's own. Given to a parse as its `error`, so what a schema says itself goes
 * before it.
 */
export function issueText(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return 'must be given';
      const type = TYPES[issue.expected];
      return type === undefined ? undefined : `must be ${type}`;
    }
    case 'too_small':
      return boundText(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum);
    case 'too_big':
      return boundText(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum);
    case 'invalid_value': {
      if (issue.input === undefined) return 'must be given';
      const values = issue.values.map((value) => (typeof value === 'string' ? value : String(value)));
      return values.length === 1 ? `must be ${values[0]}` : `must be one of ${values.join(', ')}`;
    }
    case 'unrecognized_keys':
      return `has no ${issue.keys.map((key) => `'${key}'`).join(', ')}`;
    default:
      return undefined;
  }
}

function boundText(origin: string, bound: string, limit: number | bigint): string | undefined {
  const plural = limit === 1 || limit === 1n ? '' : 's';
  if (origin === 'string') return `must have ${bound} ${limit} character${plural}`;
  if (origin === 'array' || origin === 'set')
    return `must have ${bound} ${limit} ${plural ? 'entries' : 'entry'}`;
  if (origin === 'number' || origin === 'int' || origin === 'bigint') return `must be ${bound} ${limit}`;
  return undefined;
}
