/** Departments: what one looks like, what makes one, what changes one. */
import { z } from 'zod';
import { changes, departmentId, id, instant, name, page } from './fields.ts';

export const Department = z
  .strictObject({
    id,
    name: z.string(),
    parent_id: id.nullable().meta({ description: 'Null: it stands at the top' }),
    created_at: instant,
    deleted_at: instant.nullable(),
  })
  .meta({ id: 'Department' });
export const Departments = page(Department);
export const NewDepartment = z
  .strictObject({
    name,
    parent_id: departmentId.nullable().default(null).meta({
      description: 'The department that it is a part of, at most five levels; null: it stands at the top',
    }),
  })
  .meta({ id: 'NewDepartment' });
export const DepartmentChange = changes({ name, parent_id: departmentId.nullable() }).meta({
  id: 'DepartmentChange',
});
