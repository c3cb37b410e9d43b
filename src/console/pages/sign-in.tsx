/** Sign in: a key becomes a session; the key itself is forgotten at once. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Session } from '../api/types.ts';
import { asApiError } from '../api/use.ts';
import { FaultContext, SecretField } from '../parts/field.tsx';
import { Mark } from '../parts/signs.tsx';
import { refusalText } from '../parts/states.tsx';
import { Preferences } from '../shell/frame.tsx';
import { type Language, useWords } from '../shell/language.ts';
import { signIn } from '../shell/session.ts';

interface SignInProps {
  onSession: (session: Session) => void;
  ended: boolean;
  onLanguage: (language: Language) => void;
}

export function SignIn({ onSession, ended, onLanguage }: SignInProps) {
  const t = useWords();
  const [key, setKey] = useState('');
  const [fault, setFault] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    document.title = `${t.signIn.title} · Tollgate`;
  }, [t]);

  const refuse = (text: string) => {
    setFault(text);
    form.current?.querySelector('input')?.focus();
  };
  async function submitted(event: Event) {
    event.preventDefault();
    if (busy) return;
    if (key.trim() === '') return refuse(t.signIn.empty);
    setBusy(true);
    try {
      onSession(await signIn(key.trim()));
    } catch (error) {
      const refused = asApiError(error);
      if (refused.status === 401) refuse(t.signIn.wrong);
      else refuse(refused.status === 429 ? t.signIn.tooMany : refusalText(t, refused));
    } finally {
      setBusy(false);
    }
  }
  return (
    <div class="door">
      <main class="door-card">
        <p class="brand">
          <Mark />
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
          <FaultContext.Provider value={fault === null ? {} : { key: fault }}>
            <SecretField
              label={t.signIn.key}
              param="key"
              hint={t.signIn.keyHint}
              value={key}
              onValue={(text) => {
                setKey(text);
                setFault(null);
              }}
            />
          </FaultContext.Provider>
          <div class="hidden" role="alert">
            {fault}
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
