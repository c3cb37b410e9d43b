/** The states of a request besides its response: loading, failed, empty. */
import type { ComponentChildren } from 'preact';
import type { ApiError } from '../api/client.ts';
import type { Loaded } from '../api/use.ts';
import type { Messages } from '../messages/messages.ts';
import { useMessages } from '../shell/language.ts';

/** Returns the text of an error: the console's own where it has one, else the API's. */
export function errorText(t: Messages, error: ApiError): string {
  if (error.status === 0) return t.common.unreachable;
  const own = t.errors[error.code] ?? '';
  if (own === '') return error.message;
  return own.endsWith('：') ? own + error.message : own;
}

export function Loading({ lines = 4 }: { lines?: number | undefined }) {
  const t = useMessages();
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
  const t = useMessages();
  return (
    <div class="state" role="alert">
      <p class="state-title">{t.common.failed}</p>
      <p>{errorText(t, error)}</p>
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

/** Shows a response; an older one stays in place, dimmed, while a newer one loads. */
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
