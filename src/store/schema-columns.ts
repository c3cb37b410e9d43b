/** The kinds of columns that the tables share. */
import { bigint, numeric, timestamp } from 'drizzle-orm/pg-core';

export const money = (name: string) => numeric(name, { precision: 24, scale: 12 });
export const moment = (name: string) => timestamp(name, { withTimezone: true });
export const count = (name: string) => bigint(name, { mode: 'number' });
