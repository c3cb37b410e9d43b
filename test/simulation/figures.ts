/** What the chaos of a run did. */
export interface ChaosFigures {
  instances: number;
  crashes: number;
  changes: number;
  resets: number;
  raises: number;
  /** How often a team went to another department. */
  moves: number;
  /** How often the store went back. */
  goneBack: number;
  /** Calls of unknown outcome of which an administrator had evidence. */
  corrected: number;
  /** Calls of unknown outcome that a policy released. */
  released: number;
}

export function newFigures(): ChaosFigures {
  const changes = { changes: 0, resets: 0, raises: 0, moves: 0 };
  return { instances: 0, crashes: 0, ...changes, goneBack: 0, corrected: 0, released: 0 };
}
