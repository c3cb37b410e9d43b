/** Routes: role mappings, by which groups of the identity provider get roles. Invariant: no one maps to more than they have. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import {
  changeRoleMapping,
  createRoleMapping,
  findRoleMapping,
  listRoleMappings,
  type RoleMappingRow,
} from '../store/role-mappings.ts';
import { NewRoleMapping, pageQuery, RoleMapping, RoleMappingChange, RoleMappings } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { roleCheck } from './people.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function roleMappingRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  route(
    app,
    {
      method: 'post',
      path: '/role-mappings',
      summary: 'Give the members of a group of the identity provider roles',
      body: NewRoleMapping,
      response: RoleMapping,
      status: 201,
    },
    async ({ body, caller }) => {
      const row = await createRoleMapping(database, body, roleCheck(caller));
      return isApiError(row) ? row : toMapping(row);
    },
  );
  resourceRoutes(app, {
    path: '/role-mappings',
    name: 'role mapping',
    textId: true,
    item: RoleMapping,
    page: RoleMappings,
    listQuery: pageQuery,
    changeBody: RoleMappingChange,
    idOf: (row: RoleMappingRow) => row.name,
    view: toMapping,
    list: (page) => listRoleMappings(database, page),
    find: (name) => findRoleMapping(database, name),
    change: (name, { roles }, caller) => changeRoleMapping(database, name, roles, roleCheck(caller)),
    remove: (name, caller) => changeRoleMapping(database, name, null, roleCheck(caller)),
  });
}

function toMapping({ name, roles, createdAt }: RoleMappingRow): z.input<typeof RoleMapping> {
  return { name, roles, created_at: instantOf(createdAt) };
}
