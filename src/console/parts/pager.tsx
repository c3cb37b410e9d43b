/** A list that is read page by page: its table, and the links to other pages. */
import type { ComponentChildren } from 'preact';
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

function Pager<Item>({ pages }: { pages: Pages<Item> }) {
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
