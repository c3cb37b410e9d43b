/** The tree of departments from the lists of the API, in the order in which it is shown. Pure. */
import type { Department, Limit, Team, UsageRow } from '../api/types.ts';
import { sum } from '../money.ts';

export interface DepartmentNode {
  department: Department;
  /** 1 at the top. */
  level: number;
  /** Of its own, not of those below. */
  teams: Team[];
  limits: Limit[];
  /** Its own teams and those below it, admitted while they were there. */
  spentUsd: string;
}

/** Returns the departments, each before those below it, by name. */
export function treeOf(
  departments: readonly Department[],
  teams: readonly Team[],
  limits: readonly Limit[],
  spent: readonly Pick<UsageRow, 'department_id' | 'cost_usd'>[],
): DepartmentNode[] {
  const byParent = Map.groupBy(departments, ({ parent_id }) => parent_id);
  const nodes: DepartmentNode[] = [];
  /** Adds what stands under a department; returns what it spent. */
  const add = (parentId: string | null, level: number): string => {
    const own = (byParent.get(parentId) ?? []).toSorted((a, b) =>
      a.name.localeCompare(b.name, undefined, { numeric: true }),
    );
    return sum(own.map((department) => addOne(department, level)));
  };
  const addOne = (department: Department, level: number): string => {
    const { id } = department;
    const node: DepartmentNode = {
      ...{ department, level, spentUsd: '0' },
      teams: teams.filter((team) => team.department_id === id),
      limits: limits.filter(({ subject }) => subject.type === 'department' && subject.id === id),
    };
    nodes.push(node);
    const costs = spent.filter((row) => row.department_id === id).map((row) => row.cost_usd);
    node.spentUsd = sum([...costs, add(id, level + 1)]);
    return node.spentUsd;
  };
  add(null, 1);
  return nodes;
}

/** Returns the start of the month on this clock, as the API takes it. */
export function monthStart(nowMs: number): string {
  const now = new Date(nowMs);
  return new Date(now.getFullYear(), now.getMonth(), 1).toISOString();
}
