/** A table: numbers are right-aligned, and a wide table scrolls by keyboard too. */
import type { ComponentChildren } from 'preact';

export interface Column<Row> {
  key: string;
  label: string;
  /** Numbers are right-aligned. */
  number?: boolean;
  /** The label is for screen readers only (a column of buttons). */
  quiet?: boolean;
  /** The cell that names its row. */
  heads?: boolean;
  cell: (row: Row) => ComponentChildren;
}

interface TableProps<Row> {
  caption: string;
  columns: (Column<Row> | null)[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** Returns whether a row is history, and no longer applies. */
  isFaded?: (row: Row) => boolean;
  foot?: ComponentChildren;
}

export function Table<Row>({ caption, columns, rows, keyOf, isFaded, foot }: TableProps<Row>) {
  const shown = columns.filter((column) => column !== null);
  const kind = ({ number, quiet }: Column<Row>) => (number ? 'number' : quiet ? 'buttons' : undefined);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="table-scroll" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {shown.map((column) => (
              <th key={column.key} scope="col" class={kind(column)}>
                {column.quiet ? <span class="hidden">{column.label}</span> : column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} class={isFaded?.(row) ? 'faded' : undefined}>
              {shown.map((column) =>
                column.heads ? (
                  <th key={column.key} scope="row">
                    {column.cell(row)}
                  </th>
                ) : (
                  <td key={column.key} class={kind(column)}>
                    {column.cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
        {foot && <tfoot>{foot}</tfoot>}
      </table>
    </section>
  );
}
