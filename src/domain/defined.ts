/** Returns a value that the surrounding code guarantees. @throws an error that names it when it is missing: a bug */
export function defined<Value>(value: Value | null | undefined, what: string): Value {
  if (value === null || value === undefined) throw new Error(`missing: ${what}`);
  return value;
}
