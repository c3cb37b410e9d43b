/** Why Tollgate cannot start here, and what to check. Its message is one line, meant for people, without secrets. */
export class CannotStart extends Error {
  override name = 'CannotStart';
}

/** Runs a step of the start; when it fails, `explain` turns the system's words into ours. */
export async function orCannotStart<T>(
  work: () => T | Promise<T>,
  explain: (why: string, error: unknown) => string,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new CannotStart(explain(wordsOf(error), error), { cause: error });
  }
}

/** What the first cause of an error says: wrappers only repeat the query or the call that failed. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return wordsOf(error.cause);
  // Of a name with several addresses each has failed, and the error around them says nothing.
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join(', ');
  return error.message;
}
