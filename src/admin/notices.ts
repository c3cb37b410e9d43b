/** Routes: who gets notices of a team or department, and what was sent to them. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { messageOf } from '../domain/notice-message.ts';
import { type ListedNotice, listNotices } from '../store/notices.ts';
import {
  changeRecipient,
  createRecipient,
  deleteRecipient,
  findRecipient,
  listRecipients,
  type RecipientRow,
  shownAddress,
} from '../store/recipients.ts';
import {
  NewRecipient,
  type Notice,
  Notices,
  NoticesQuery,
  Recipient,
  RecipientChange,
  Recipients,
  recipientListQuery,
} from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, pageOf, teamOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function noticeRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Tell somebody of a team or department, by mail or a webhook';
  route(
    app,
    {
      method: 'post',
      path: '/recipients',
      summary,
      body: NewRecipient,
      response: Recipient,
      status: 201,
      ownerOfBody: async ({ subject }) => ownerOf(subject),
    },
    async ({ body: { subject, secret, ...made } }) => {
      const recipient = await createRecipient(database, {
        ...{ ...made, teamId: ownerOf(subject), secret: secret ?? null },
        departmentId: subject.type === 'department' ? subject.id : null,
      });
      return isApiError(recipient) ? recipient : toRecipient(recipient);
    },
  );
  resourceRoutes(app, {
    path: '/recipients',
    name: 'recipient',
    item: Recipient,
    page: Recipients,
    listQuery: recipientListQuery,
    changeBody: RecipientChange,
    idOf: (recipient: RecipientRow) => recipient.id,
    teamOf: (recipient) => recipient.teamId,
    view: toRecipient,
    list: (page, _query, teamIds) => listRecipients(database, { ...page, teamIds }),
    find: (id) => findRecipient(database, id),
    change: (id, { wants, language }) =>
      changeRecipient(database, id, {
        ...(wants === undefined ? {} : { wants }),
        ...(language === undefined ? {} : { language }),
      }),
    remove: (id) => deleteRecipient(database, id),
  });
  route(
    app,
    {
      method: 'get',
      path: '/notices',
      summary: 'List what was sent to recipients, newest first, and whether it arrived',
      query: NoticesQuery,
      response: Notices,
    },
    async ({ query, teams: teamIds }) =>
      pageOf(query, {
        list: (page) => listNotices(database, { ...page, teamIds }),
        idOf: (row) => row.id,
        view: toNotice,
      }),
  );
}

/** Returns the team to which a recipient belongs. Those above the teams are the organization's, as limits are. */
function ownerOf(subject: z.output<typeof NewRecipient>['subject']): TeamId {
  return subject.type === 'team' ? subject.id : ORGANIZATION_ID;
}

function subjectOf({ teamId, departmentId }: RecipientRow): z.input<typeof Recipient>['subject'] {
  if (departmentId !== null) return { type: 'department', id: departmentId };
  return teamId === ORGANIZATION_ID ? { type: 'org' } : { type: 'team', id: teamId };
}

function toRecipient(row: RecipientRow): z.input<typeof Recipient> {
  const { id, kind, address, secret, wants, language } = row;
  return {
    id,
    subject: subjectOf(row),
    kind,
    address: shownAddress(kind, address),
    signed: secret !== null,
    wants,
    language,
    created_at: instantOf(row.createdAt),
    deleted_at: instantOf(row.deletedAt),
  };
}

function toNotice({ recipient, ...row }: ListedNotice): z.input<typeof Notice> {
  const { deliveredAt, nextAttemptAt } = row;
  return {
    id: row.id,
    team_id: teamOf(asId(row.teamId)),
    kind: row.kind,
    text: messageOf(row.facts, recipient?.language ?? 'en', null).subject,
    recipient_id: row.recipientId,
    channel: recipient?.kind ?? null,
    address: recipient === null ? null : shownAddress(recipient.kind, recipient.address),
    raised_at: instantOf(row.raisedAt),
    delivery: deliveredAt ? 'delivered' : nextAttemptAt ? 'pending' : 'given_up',
    attempts: row.attempts,
    problem: row.problem,
    delivered_at: instantOf(deliveredAt),
  };
}
