/** A page and its panels. Invariant: after a click on a link the focus is on the new page's heading. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { hasNavigated } from '../shell/router.ts';

interface PageProps {
  title: string;
  /** The link above the title, to the parent page. */
  back?: { href: string; text: string } | undefined;
  lead?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

export function Page({ title, back, lead, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Tollgate`;
  }, [title]);
  useEffect(() => {
    if (!hasNavigated()) return;
    heading.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, []);
  return (
    <>
      <header class="page-head">
        <div>
          {back && (
            <a class="back" href={back.href}>
              ← {back.text}
            </a>
          )}
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lead && <p class="lead">{lead}</p>}
        </div>
        {actions && <div class="page-actions">{actions}</div>}
      </header>
      {children}
    </>
  );
}

interface PanelProps {
  title: string;
  /** Only screen readers get the title: the page's heading shows it already. */
  plain?: boolean;
  note?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

export function Panel({ title, plain, note, actions, children }: PanelProps) {
  const id = useId();
  return (
    <section class="panel" aria-labelledby={id}>
      <div class={plain ? (actions ? 'panel-head plain' : 'hidden') : 'panel-head'}>
        <h2 id={id} class={plain ? 'hidden' : undefined}>
          {title}
        </h2>
        {actions && <div class="panel-actions">{actions}</div>}
      </div>
      {note && <p class="panel-note">{note}</p>}
      {children}
    </section>
  );
}

interface ListPageProps {
  title: string;
  lead: string;
  /** The button that creates an item; null: the user may not. */
  create: { text: string; onClick: () => void } | null;
  /** The list's title, where it is not the page's. */
  listTitle?: string;
  note?: ComponentChildren;
  filters?: ComponentChildren;
  /** The list. */
  children: ComponentChildren;
  dialogs: ComponentChildren;
}

/** A page with one list: the button that creates an item, the filters, the list. */
export function ListPage({
  title,
  lead,
  create,
  listTitle,
  note,
  filters,
  children,
  dialogs,
}: ListPageProps) {
  return (
    <Page
      title={title}
      lead={lead}
      actions={
        create && (
          <button type="button" class="button primary" onClick={create.onClick}>
            {create.text}
          </button>
        )
      }
    >
      <Panel plain title={listTitle ?? title} note={note} actions={filters}>
        {children}
      </Panel>
      {dialogs}
    </Page>
  );
}
