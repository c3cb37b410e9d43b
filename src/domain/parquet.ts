/**
 * Rows as a Parquet file (https://parquet.apache.org), in pieces. Owns: which type of Parquet each of ours becomes. Does not
 * own: the encoding (hyparquet-writer). Invariants: no float touches a decimal; memory is bounded by one row group,
 * whatever the number of rows.
 */
import type { AsyncBuffer } from 'hyparquet';
import type { SchemaElement } from 'hyparquet-writer';
import { formatUsd } from './quantities.ts';

/**
 * `decimal`: exact decimal text, as DECIMAL(38, 12); `moment`: a Date, as TIMESTAMP in UTC; `count`: a whole number as
 * text, number or bigint, as INT64; `text`: UTF-8; `flag`: BOOLEAN. Null and undefined are nulls.
 */
export type ParquetType = 'decimal' | 'moment' | 'count' | 'text' | 'flag';

export type ParquetColumns = Readonly<Record<string, ParquetType>>;
export type ParquetRow = Readonly<Record<string, unknown>>;

/** Rows encoded at once: what a turn of the event loop takes, and what is in memory. */
const GROUP_ROWS = 500;
const DECIMAL_SCALE = 12;

/**
 * Yields the bytes of a file with these columns.
 * @throws on a value that is not of its column's type
 */
export async function* parquetOf(
  columns: ParquetColumns,
  batches: AsyncIterable<readonly ParquetRow[]>,
): AsyncGenerator<Uint8Array> {
  // Loaded when it is first used: most installations export nothing.
  const { ByteWriter, ParquetWriter } = await import('hyparquet-writer');
  const bytes = new ByteWriter();
  const schema = [
    { name: 'root', num_children: Object.keys(columns).length },
    ...Object.entries(columns).map(([name, type]) => elementOf(name, type)),
  ];
  const writer = new ParquetWriter({ writer: bytes, schema, createdBy: 'Tollgate' });
  const take = () => {
    const piece = bytes.getBytes().slice();
    bytes.index = 0;
    return piece;
  };
  const write = (rows: readonly ParquetRow[]) => {
    const columnData = Object.entries(columns).map(([name, type]) => ({
      name,
      data: rows.map((row) => cellOf(name, type, row[name])),
      offsetIndex: false,
    }));
    writer.write({ columnData, rowGroupSize: rows.length });
    return take();
  };
  let waiting: ParquetRow[] = [];
  for await (const batch of batches) {
    for (const row of batch) {
      waiting.push(row);
      if (waiting.length < GROUP_ROWS) continue;
      yield write(waiting);
      waiting = [];
    }
  }
  if (waiting.length > 0) yield write(waiting);
  writer.finish();
  yield take();
}

function elementOf(name: string, type: ParquetType): SchemaElement {
  const element = { name, repetition_type: 'OPTIONAL' } as const;
  switch (type) {
    case 'decimal': {
      const [precision, scale] = [38, DECIMAL_SCALE];
      const logical_type = { type: 'DECIMAL', precision, scale } as const;
      // Both ways of saying it, for older readers; 16 bytes hold 38 digits.
      const old = { converted_type: 'DECIMAL', precision, scale } as const;
      return { ...element, type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, logical_type, ...old };
    }
    case 'moment': {
      const logical_type = { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' } as const;
      return { ...element, type: 'INT64', converted_type: 'TIMESTAMP_MILLIS', logical_type };
    }
    case 'count':
      return { ...element, type: 'INT64' };
    case 'flag':
      return { ...element, type: 'BOOLEAN' };
    case 'text':
      return { ...element, type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } };
  }
}

type Value = string | bigint | boolean | Date | null;

function cellOf(name: string, type: ParquetType, value: unknown): Value {
  if (value === null || value === undefined) return null;
  switch (type) {
    case 'decimal':
      if (typeof value === 'string') return unscaled(value);
      break;
    case 'count':
      if (typeof value !== 'boolean') return BigInt(String(value));
      break;
    case 'moment':
      if (value instanceof Date) return value;
      break;
    case 'flag':
      if (typeof value === 'boolean') return value;
      break;
    case 'text':
      if (typeof value === 'string') return value;
  }
  throw new TypeError(`the column ${name} has a value that is no ${type}`);
}

const DECIMAL = /^(-?)(\d{1,26})(?:\.(\d{1,12}))?$/;

/** Returns decimal text times 10^12. */
function unscaled(text: string): bigint {
  const match = DECIMAL.exec(text);
  if (!match)
    throw new TypeError(`not a decimal with at most ${DECIMAL_SCALE} digits after the point: ${text}`);
  const [, sign, whole = '0', fraction = ''] = match;
  const amount = BigInt(`${whole}${fraction.padEnd(DECIMAL_SCALE, '0')}`);
  return sign ? -amount : amount;
}

/**
 * Yields the rows of a file that `parquetOf` made, by row group: moments as Dates, counts as bigint, decimals as text
 * without an exponent. The reader itself would make floats of decimals, so their type is hidden from it.
 * @throws when it is no Parquet file, or a torn one
 */
export async function* rowsOfParquet(file: AsyncBuffer): AsyncGenerator<Record<string, unknown>[]> {
  const { parquetMetadataAsync, parquetReadObjects } = await import('hyparquet');
  const metadata = await parquetMetadataAsync(file);
  const decimals: string[] = [];
  metadata.schema = metadata.schema.map((element) => {
    if (element.converted_type !== 'DECIMAL') return element;
    decimals.push(element.name);
    const { converted_type: _, logical_type: __, ...bytes } = element;
    return bytes;
  });
  let rowStart = 0;
  for (const { num_rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(num_rows);
    const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd, utf8: false });
    for (const row of rows) {
      for (const name of decimals) row[name] = row[name] == null ? null : scaled(row[name]);
    }
    yield rows;
    rowStart = rowEnd;
  }
}

/** Returns the decimal text of an unscaled big-endian two's complement. */
function scaled(bytes: unknown): string {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('a decimal that is no bytes');
  return formatUsd(BigInt.asIntN(8 * bytes.length, BigInt(`0x${Buffer.from(bytes).toString('hex')}`)));
}
