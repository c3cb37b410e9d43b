/** How values cross the border to Postgres on the raw client. Nothing is rounded: `numeric` and `int8` stay text. */
import pg from 'pg';

type Parser = (text: string) => unknown;

const same: Parser = (text) => text;
const json: Parser = (text) => JSON.parse(text);
const date: Parser = (text) => new Date(text);
// Its type lacks the numbers of arrays.
const builtIn = pg.types.getTypeParser as (oid: number) => Parser;
const texts = builtIn(1009);
const elements =
  (parse: Parser): Parser =>
  (text) =>
    (texts(text) as (string | null)[]).map((each) => (each === null ? null : parse(each)));

/** By the type's number (pg_type.oid); what is not here stays text. */
const PARSERS = new Map<number, Parser>([
  [16, (text) => text === 't'], // bool
  [17, builtIn(17)], // bytea
  ...[21, 23, 26, 700, 701].map((oid): [number, Parser] => [oid, Number]), // int2, int4, oid, float4, float8
  ...[114, 3802].map((oid): [number, Parser] => [oid, json]), // json, jsonb
  ...[1082, 1114, 1184].map((oid): [number, Parser] => [oid, date]), // date, timestamp, timestamptz
  [1000, elements((text) => text === 't')], // bool[]
  ...[1005, 1007, 1028, 1021, 1022].map((oid): [number, Parser] => [oid, elements(Number)]), // the numbers' arrays
  ...[1009, 1015, 1002, 1003, 2951, 1016, 1231].map((oid): [number, Parser] => [oid, texts]), // text[], uuid[], int8[], numeric[] …
  ...[199, 3807].map((oid): [number, Parser] => [oid, elements(json)]),
  ...[1182, 1115, 1185].map((oid): [number, Parser] => [oid, elements(date)]),
]);

export const parsers: pg.CustomTypesConfig = {
  getTypeParser: (oid: number) => PARSERS.get(oid) ?? same,
};
