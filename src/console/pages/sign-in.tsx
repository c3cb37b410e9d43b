/** Sign in: through the identity provider, or with a key, which the page exchanges for a session and does not keep. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Session } from '../api/types.ts';
import { asApiError } from '../api/use.ts';
import { FieldErrors, SecretField } from '../parts/field.tsx';
import { Logo } from '../parts/icons.tsx';
import { errorText } from '../parts/states.tsx';
import { Preferences } from '../shell/frame.tsx';
import { type Language, useMessages } from '../shell/language.ts';
import { BASE, currentLocation } from '../shell/router.ts';
import { readProvider, signIn } from '../shell/session.ts';

interface SignInProps {
  onSession: (session: Session) => void;
  ended: boolean;
  onLanguage: (language: Language) => void;
}

/** Returns whether people can sign in through an identity provider; not while that is not known. */
function useProvider(): boolean {
  const [enabled, setEnabled] = useState(false);
  useEffect(() => {
    readProvider().then(setEnabled, () => setEnabled(false));
  }, []);
  return enabled;
}

/** Where a sign-in begins, to end on this page. */
function startUrl(): string {
  const { query } = currentLocation();
  query.delete('sign_in');
  const text = query.toString();
  const to = location.pathname + (text === '' ? '' : `?${text}`);
  return `${BASE}/oidc/start?to=${encodeURIComponent(to)}`;
}

export function SignIn({ onSession, ended, onLanguage }: SignInProps) {
  const t = useMessages();
  const [key, setKey] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const hasProvider = useProvider();
  const refused = currentLocation().query.get('sign_in');
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
        {refused !== null && (
          <p class="notice" role="alert">
            {t.provider.problems[refused] ?? t.provider.problems.failed}
          </p>
        )}
        {hasProvider && (
          <>
            <a class="button primary" href={startUrl()}>
              {t.provider.signIn}
            </a>
            <p class="hint">{t.provider.or}</p>
          </>
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
