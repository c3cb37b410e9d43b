/** Routes: departments. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import {
  changeDepartment,
  createDepartment,
  type DepartmentRow,
  deleteDepartment,
  findDepartment,
  listDepartments,
} from '../store/departments.ts';
import { Department, DepartmentChange, Departments, listQuery, NewDepartment } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function departmentRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Make a department: a group of teams, at the top or in another one';
  route(
    app,
    { method: 'post', path: '/departments', summary, body: NewDepartment, response: Department, status: 201 },
    async ({ body: { name, parent_id: parentId } }) => {
      const department = await createDepartment(database, { name, parentId });
      return isApiError(department) ? department : toDepartment(department);
    },
  );
  resourceRoutes(app, {
    path: '/departments',
    name: 'department',
    item: Department,
    page: Departments,
    listQuery,
    changeBody: DepartmentChange,
    idOf: (department: DepartmentRow) => department.id,
    view: toDepartment,
    list: (page, _query, teamIds) => listDepartments(database, { ...page, teamIds }),
    find: (id) => findDepartment(database, id),
    change: (id, { name, parent_id: parentId }) => changeDepartment(database, id, { name, parentId }),
    remove: (id) => deleteDepartment(database, id),
  });
}

function toDepartment(department: DepartmentRow): z.input<typeof Department> {
  const { id, name, parentId, createdAt, deletedAt } = department;
  return {
    ...{ id, name, parent_id: parentId },
    created_at: instantOf(createdAt),
    deleted_at: instantOf(deletedAt),
  };
}
