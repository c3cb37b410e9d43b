/** A page and its panels. Invariant: whoever comes to a page by a link lands on its heading, and the title says where. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { hasNavigated } from '../shell/router.ts';

interface PageProps {
  title: string;
  /** Above the title: where this belongs. */
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
  /** The page's heading says it already: the title is for screen readers. */
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
