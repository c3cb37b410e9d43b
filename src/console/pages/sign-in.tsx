/** Sign in: exchanges a key for a session; the page does not keep the key. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Session } from '../api/types.ts';
import { asApiError } from '../api/use.ts';
import { FieldErrors, SecretField } from '../parts/field.tsx';
import { Logo } from '../parts/icons.tsx';
import { errorText } from '../parts/states.tsx';
import { Preferences } from '../shell/frame.tsx';
import { type Language, useMessages } from '../shell/language.ts';
import { signIn } from '../shell/session.ts';

interface SignInProps {
  onSession: (session: Session) => void;
  ended: boolean;
  onLanguage: (language: Language) => void;
}

export function SignIn({ onSession, ended, onLanguage }: SignInProps) {
  const t = useMessages();
  const [key, setKey] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    document.title = `${t.signIn.title} · Tollgate`;
  }, [t]);

  const showProblem = (text: string) => {
    setProblem(text);
    form.current?.querySelector('input')?.focus();
  };
  async function submitted(event: Event) {
    event.preventDefault();
    if (busy) return;
    if (key.trim() === '') return showProblem(t.signIn.empty);
    setBusy(true);
    try {
      onSession(await signIn(key.trim()));
    } catch (error) {
      const failed = asApiError(error);
      if (failed.status === 401) showProblem(t.signIn.wrong);
      else showProblem(failed.status === 429 ? t.signIn.tooMany : errorText(t, failed));
    } finally {
      setBusy(false);
    }
  }
  return (
    <div class="door">
      <main class="door-card">
        <p class="brand">
          <Logo />
          Tollgate
        </p>
        <h1>{t.signIn.title}</h1>
        <p class="lead">{t.signIn.lead}</p>
        {ended && (
          <p class="notice" role="status">
            {t.signIn.ended}
          </p>
        )}
        <form ref={form} noValidate onSubmit={submitted}>
          <FieldErrors.Provider value={problem === null ? {} : { key: problem }}>
            <SecretField
              label={t.signIn.key}
              param="key"
              hint={t.signIn.keyHint}
              value={key}
              onValue={(text) => {
                setKey(text);
                setProblem(null);
              }}
            />
          </FieldErrors.Provider>
          <div class="hidden" role="alert">
            {problem}
          </div>
          <button type="submit" class="button primary" aria-disabled={busy}>
            {t.signIn.submit}
          </button>
        </form>
        <p class="hint">{t.signIn.stays}</p>
      </main>
      <footer class="door-foot">
        <Preferences onLanguage={onLanguage} />
      </footer>
    </div>
  );
}
