/** The departments of a simulation: three levels, and which of them each team is in when it begins. */
const PARENTS: Readonly<Record<string, string>> = {
  unit: 'division',
  division: 'company',
  branch: 'company',
};

export const DEPARTMENTS = ['unit', 'division', 'branch', 'company'] as const;

/** The department of each team when a simulation begins; a team that is missing is outside of all. */
export const FIRST_DEPARTMENTS: Readonly<Record<string, string>> = {
  capped: 'unit',
  prepaid: 'division',
  both: 'company',
};

/** Returns a department, then the one above, …; none for null. */
export function pathOf(department: string | null): readonly string[] {
  const path: string[] = [];
  for (let each = department ?? undefined; each !== undefined; each = PARENTS[each]) path.push(each);
  return path;
}
