/** Routes: people. Invariant: no one gives, takes or touches more than they may do themselves. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type PersonId } from '../domain/ids.ts';
import { Authority, EVERYTHING } from '../domain/roles.ts';
import {
  changePerson,
  createPerson,
  deletePerson,
  findPerson,
  listPeople,
  type PersonChanger,
  type PersonRow,
  type RoleCheck,
} from '../store/people.ts';
import { listQuery, NewPerson, People, Person, PersonChange } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, pageOf } from './page.ts';
import { route } from './route.ts';
import type { Caller } from './scope.ts';

export function peopleRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const one = { path: '/people/{id}', response: Person } as const;
  const show = (row: PersonRow | ApiError | null) => (row === null || isApiError(row) ? row : toPerson(row));
  route(
    app,
    {
      method: 'get',
      path: '/people',
      summary: 'List people, oldest first',
      query: listQuery,
      response: People,
    },
    ({ query }) =>
      pageOf(query, {
        list: (page) => listPeople(database, page),
        idOf: (row) => row.id,
        view: toPerson,
      }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/people',
      summary: 'Make a person, who may sign in through the identity provider',
      body: NewPerson,
      response: Person,
      status: 201,
    },
    async ({ body, caller }) => {
      const { user_name: userName, display_name: displayName = userName } = body;
      const { external_id: externalId, email, active, roles } = body;
      const person = { externalId, userName, displayName, email, active, roles };
      return show(await createPerson(database, person, roleCheck(caller)));
    },
  );
  route(app, { ...one, method: 'get', summary: 'Show one person' }, async ({ id }) =>
    show(await findPerson(database.db, asId(id))),
  );
  route(
    app,
    { ...one, method: 'patch', summary: 'Change a person', body: PersonChange },
    async ({ id, body, caller }) => {
      const { external_id: externalId, user_name: userName, display_name: displayName, ...rest } = body;
      const change = { ...rest, externalId, userName, displayName };
      return show(await changePerson(database, asId<PersonId>(id), change, changerOf(caller)));
    },
  );
  route(
    app,
    {
      ...one,
      method: 'delete',
      summary: 'Delete a person: their sessions end, the tokens made by them are revoked',
    },
    async ({ id, caller }) => show(await deletePerson(database, asId<PersonId>(id), changerOf(caller))),
  );
}

/** Returns the check that the caller may do everything that these roles may. */
export function roleCheck({ authority }: Caller): RoleCheck {
  return (roles) => {
    if (authority.covers(new Authority(roles))) return null;
    return apiError(
      'not_allowed',
      'these roles may do more than you may: only an owner, or the admin key, gives, changes or removes an owner',
      { param: 'roles' },
    );
  };
}

function changerOf(caller: Caller): PersonChanger {
  return { check: roleCheck(caller), mayRemoveLastOwner: caller.authority === EVERYTHING };
}

function toPerson(row: PersonRow): z.input<typeof Person> {
  return {
    id: row.id,
    external_id: row.externalId,
    user_name: row.userName,
    display_name: row.displayName,
    email: row.email,
    active: row.active,
    roles: row.roles,
    groups: row.groups,
    last_sign_in_at: instantOf(row.lastSignInAt),
    created_at: instantOf(row.createdAt),
    deleted_at: instantOf(row.deletedAt),
  };
}
