/** What a limit would do today, read from the API while its form is filled in. */
import { useEffect, useState } from 'preact/hooks';
import { type ApiError, post } from '../api/client.ts';
import type { LimitPreview, NewLimit } from '../api/types.ts';
import { asApiError } from '../api/use.ts';
import { isZero } from '../money.ts';
import { Failed } from '../parts/states.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import type { Meter } from './limit-text.tsx';
import { Quantity } from './limit-text.tsx';

/** How long after the last key press the preview reads the API. */
const PAUSE_MS = 300;

interface ShownProps {
  preview: LimitPreview;
  meter: Meter;
}

/** `limit` null: the form is not complete. */
export function LimitPreviewBox({ limit }: { limit: NewLimit | null }) {
  const t = useMessages();
  // Kept with its meter: the form may have another one by the time of the response.
  const [shown, setShown] = useState<ShownProps | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [asked, setAsked] = useState(0);
  const body = limit === null ? '' : JSON.stringify(limit);
  useEffect(() => {
    setError(null);
    if (body === '') return setShown(null);
    const abort = new AbortController();
    const pause = setTimeout(() => {
      const sent = JSON.parse(body) as NewLimit;
      post<LimitPreview>('/limits/preview', sent, abort.signal).then(
        (preview) => setShown({ preview, meter: sent.meter }),
        (failure) => {
          if (abort.signal.aborted) return;
          setShown(null);
          setError(asApiError(failure));
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(pause);
      abort.abort();
    };
  }, [body, asked]);
  return (
    <section class="preview" aria-label={t.limits.preview} aria-live="polite">
      <h3>{t.limits.preview}</h3>
      {error !== null && <Failed error={error} retry={() => setAsked(asked + 1)} />}
      {shown ? <Shown {...shown} /> : error === null && <p class="quiet">{t.limits.previewWait}</p>}
    </section>
  );
}

function Shown({ preview, meter }: ShownProps) {
  const t = useMessages();
  const format = useFormat();
  const { denied_calls_today: denied, calls_today: calls, first_denied_at: first } = preview;
  return (
    <>
      <dl>
        <dt>{t.limits.previewUsed}</dt>
        <dd>
          <Quantity meter={meter} amount={preview.used} />
        </dd>
        <dt>{t.limits.previewLeft}</dt>
        <dd>
          <Quantity meter={meter} amount={preview.remaining} />
        </dd>
      </dl>
      <p class={denied > 0 ? 'error' : undefined}>
        {denied === 0 || first === null
          ? t.limits.previewNone(denied, format.count(calls))
          : t.limits.previewSome(format.count(denied), format.count(calls), format.clock(first))}
      </p>
      {isZero(preview.remaining) && <p class="error">{t.limits.previewFull}</p>}
    </>
  );
}
