/** What the audit log tells of: what was done, and to what. The API, the database and the console have these lists from here. */
export const AUDIT_ACTIONS = [
  'create',
  'change',
  'delete',
  'revoke',
  'rotate',
  'release',
  'sign_in',
  'sign_out',
  'fail',
  'export',
] as const;

export const AUDIT_RESOURCES = [
  'team',
  'department',
  'key',
  'limit',
  'grant',
  'plan',
  'price',
  'tag',
  'model',
  'event',
  'session',
  'admin_key',
  'store',
  'object',
  'person',
  'token',
  'role_mapping',
  'reconciliation',
] as const;
