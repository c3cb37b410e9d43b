/** The departments of a simulation: three levels, and which of them each team is in, from its own up. */
const PATHS: Readonly<Record<string, readonly string[]>> = {
  capped: ['unit', 'division', 'company'],
  prepaid: ['division', 'company'],
  both: ['company'],
};

/** Returns the department of a team, then the one above, …; none for a team outside of all. */
export function departmentsOfTeam(teamId: string): readonly string[] {
  return PATHS[teamId] ?? [];
}
