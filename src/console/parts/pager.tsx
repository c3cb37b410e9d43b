/** A list that is read page by page: its table, and the way to the next page. */
import type { ComponentChildren } from 'preact';
import type { Pages } from '../api/use.ts';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import { Load } from './states.tsx';

interface PagedProps<Item> {
  pages: Pages<Item>;
  empty: ComponentChildren;
  children: (items: Item[]) => ComponentChildren;
}

export function Paged<Item>({ pages, empty, children }: PagedProps<Item>) {
  return (
    <Load of={pages} lines={8}>
      {({ data }) => (
        <>
          {data.length === 0 && pages.number === 1 ? empty : children(data)}
          <Pager pages={pages} />
        </>
      )}
    </Load>
  );
}

function Pager<Item>({ pages }: { pages: Pages<Item> }) {
  const t = useWords();
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
