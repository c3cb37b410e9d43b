/** What a limit would do today, asked of the API while its form is filled in. */
import { useEffect, useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { LimitPreview, NewLimit } from '../api/types.ts';
import { asApiError } from '../api/use.ts';
import { isZero } from '../money.ts';
import { refusalText } from '../parts/states.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import type { Meter } from './limit-words.ts';
import { Quantity } from './quantity.tsx';

/** Typing goes on within it; the preview asks once it is over. */
const PAUSE_MS = 300;

interface ShownProps {
  preview: LimitPreview;
  meter: Meter;
}

/** Null: the form cannot be read yet. */
export function LimitPreviewBox({ limit }: { limit: NewLimit | null }) {
  const t = useWords();
  // With the meter that was asked for: the form may be at another one by the time of the answer.
  const [shown, setShown] = useState<ShownProps | null>(null);
  const [refusal, setRefusal] = useState('');
  const body = limit === null ? '' : JSON.stringify(limit);
  useEffect(() => {
    setRefusal('');
    if (body === '') return setShown(null);
    const abort = new AbortController();
    const pause = setTimeout(() => {
      const asked = JSON.parse(body) as NewLimit;
      post<LimitPreview>('/limits/preview', asked, abort.signal).then(
        (preview) => setShown({ preview, meter: asked.meter }),
        (error) => {
          if (abort.signal.aborted) return;
          setShown(null);
          setRefusal(refusalText(t, asApiError(error)));
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(pause);
      abort.abort();
    };
  }, [body, t]);
  return (
    <section class="preview" aria-label={t.limits.preview} aria-live="polite">
      <h3>{t.limits.preview}</h3>
      {refusal !== '' && <p class="fault">{refusal}</p>}
      {shown ? <Shown {...shown} /> : refusal === '' && <p class="quiet">{t.limits.previewWait}</p>}
    </section>
  );
}

function Shown({ preview, meter }: ShownProps) {
  const t = useWords();
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
      <p class={denied > 0 ? 'fault' : undefined}>
        {denied === 0 || first === null
          ? t.limits.previewNone(denied, format.count(calls))
          : t.limits.previewSome(format.count(denied), format.count(calls), format.clock(first))}
      </p>
      {isZero(preview.remaining) && <p class="fault">{t.limits.previewFull}</p>}
    </>
  );
}
