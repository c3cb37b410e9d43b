/** A list that is read page by page: its table, and the links to other pages. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Pages } from '../api/use.ts';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { Empty, Load } from './states.tsx';

interface PagedProps<Item> {
  pages: Pages<Item>;
  empty: ComponentChildren;
  children: (items: Item[]) => ComponentChildren;
}

/** A filter may search a part of a long list at a time: then a page is empty, and others follow. */
export function Paged<Item>({ pages, empty, children }: PagedProps<Item>) {
  const t = useMessages();
  return (
    <Load of={pages} lines={8}>
      {({ data, next }) => (
        <>
          {data.length > 0 ? children(data) : next === null ? empty : <Empty title={t.common.searchOn} />}
          <Pager pages={pages} />
        </>
      )}
    </Load>
  );
}

interface SlicedProps<Item> {
  items: readonly Item[];
  size: number;
  children: (items: readonly Item[]) => ComponentChildren;
}

/** A list that is there as a whole, shown page by page. */
export function Sliced<Item>({ items, size, children }: SlicedProps<Item>) {
  const [page, setPage] = useState(1);
  const number = Math.min(page, Math.max(1, Math.ceil(items.length / size)));
  return (
    <>
      {children(items.slice((number - 1) * size, number * size))}
      <Pager
        pages={{
          number,
          toPrevious: number > 1 ? () => setPage(number - 1) : null,
          toNext: number * size < items.length ? () => setPage(number + 1) : null,
        }}
      />
    </>
  );
}

function Pager({ pages }: { pages: Pick<Pages<unknown>, 'number' | 'toPrevious' | 'toNext'> }) {
  const t = useMessages();
  const format = useFormat();
  if (!pages.toPrevious && !pages.toNext) return null;
  return (
    <nav class="pager" aria-label={t.common.pages}>
      <button type="button" class="button" disabled={!pages.toPrevious} onClick={() => pages.toPrevious?.()}>
        {t.common.previous}
      </button>
      <span aria-live="polite">{t.common.page(format.count(pages.number))}</span>
      <button type="button" class="button" disabled={!pages.toNext} onClick={() => pages.toNext?.()}>
        {t.common.next}
      </button>
    </nav>
  );
}
