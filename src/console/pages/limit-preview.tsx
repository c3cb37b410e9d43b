/** What a limit would do today, asked of the API while its form is filled in. */
import { useEffect, useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { LimitPreview, NewLimit } from '../api/types.ts';
import { asApiError } from '../api/use.ts';
import { isZero } from '../money.ts';
import { Money } from '../parts/money.tsx';
import { refusalText } from '../parts/states.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';

/** Typing goes on within it; the preview asks once it is over. */
const PAUSE_MS = 300;

/** Null: the form cannot be read yet. */
export function LimitPreviewBox({ limit }: { limit: NewLimit | null }) {
  const t = useWords();
  const [preview, setPreview] = useState<LimitPreview | null>(null);
  const [refusal, setRefusal] = useState('');
  const body = limit === null ? '' : JSON.stringify(limit);
  useEffect(() => {
    setRefusal('');
    if (body === '') return setPreview(null);
    const abort = new AbortController();
    const pause = setTimeout(() => {
      post<LimitPreview>('/limits/preview', JSON.parse(body) as object, abort.signal).then(
        setPreview,
        (error) => {
          if (abort.signal.aborted) return;
          setPreview(null);
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
      {preview ? <Shown preview={preview} /> : refusal === '' && <p class="quiet">{t.limits.previewWait}</p>}
    </section>
  );
}

function Shown({ preview }: { preview: LimitPreview }) {
  const t = useWords();
  const format = useFormat();
  const { refused_calls_today: refused, calls_today: calls, first_refused_at: first } = preview;
  return (
    <>
      <dl>
        <dt>{t.limits.previewUsed}</dt>
        <dd>
          <Money usd={preview.used} />
        </dd>
        <dt>{t.limits.previewLeft}</dt>
        <dd>
          <Money usd={preview.remaining} />
        </dd>
      </dl>
      <p class={refused > 0 ? 'fault' : undefined}>
        {refused === 0 || first === null
          ? t.limits.previewRefused(refused, format.count(calls))
          : t.limits.previewSome(format.count(refused), format.count(calls), format.clock(first))}
      </p>
      {isZero(preview.remaining) && <p class="fault">{t.limits.previewFull}</p>}
    </>
  );
}
