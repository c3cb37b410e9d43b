/** A page whose code is loaded when it is first shown. */
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from '../api/client.ts';
import { Failed, Loading } from '../parts/states.tsx';

type Pages = typeof import('./later.ts').LATER;

let loaded: Pages | null = null;

/** Returns the page of this name; it shows that it is loading until its code is there. */
export function lazy(name: keyof Pages): () => VNode {
  return function LazyPage() {
    const [pages, setPages] = useState(loaded);
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      if (pages) return;
      import('./later.ts').then(
        ({ LATER }) => {
          loaded = LATER;
          setPages(LATER);
        },
        () => setFailed(true),
      );
    }, [pages]);
    // Of another release, or out of reach: only the whole console, loaded again, fits together.
    if (failed) return <Failed error={new ApiError(0, 'unreachable', '')} retry={() => location.reload()} />;
    if (!pages) return <Loading lines={8} />;
    const Page = pages[name];
    return <Page />;
  };
}
