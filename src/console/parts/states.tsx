/** The three states of what is asked for besides its answer: loading, failed, empty. */
import type { ComponentChildren } from 'preact';
import type { ApiError } from '../api/client.ts';
import type { Loaded } from '../api/use.ts';
import { useWords } from '../shell/language.ts';
import type { Words } from '../words/words.ts';

/** What people are told of a refusal: our words where there are any, and the API's. */
export function refusalText(t: Words, error: ApiError): string {
  if (error.status === 0) return t.common.unreachable;
  const ours = t.errors[error.code] ?? '';
  if (ours === '') return error.message;
  return ours.endsWith('：') ? ours + error.message : ours;
}

export function Loading({ lines = 4 }: { lines?: number | undefined }) {
  const t = useWords();
  return (
    <div class="loading" role="status">
      <span class="hidden">{t.common.loading}</span>
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} class="skeleton" />
      ))}
    </div>
  );
}

export function Failed({ error, retry }: { error: ApiError; retry: () => void }) {
  const t = useWords();
  return (
    <div class="state" role="alert">
      <p class="state-title">{t.common.failed}</p>
      <p>{refusalText(t, error)}</p>
      <button type="button" class="button" onClick={retry}>
        {t.common.retry}
      </button>
    </div>
  );
}

export function Empty({
  title,
  text,
  children,
}: {
  title: string;
  text?: string;
  children?: ComponentChildren;
}) {
  return (
    <div class="state">
      <p class="state-title">{title}</p>
      {text && <p>{text}</p>}
      {children}
    </div>
  );
}

interface LoadProps<T> {
  of: Loaded<T>;
  lines?: number | undefined;
  children: (data: T) => ComponentChildren;
}

/** Shows an answer; an older one stays in place, dimmed, while another is on its way. */
export function Load<T>({ of, lines, children }: LoadProps<T>) {
  if (of.error && (of.data === null || of.loading)) return <Failed error={of.error} retry={of.reload} />;
  if (of.data === null)
    return of.error ? <Failed error={of.error} retry={of.reload} /> : <Loading lines={lines} />;
  return (
    <div class={of.loading ? 'stale' : undefined} aria-busy={of.loading}>
      {of.error && <Failed error={of.error} retry={of.reload} />}
      {children(of.data)}
    </div>
  );
}
