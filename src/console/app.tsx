/** The console: language, session, and the page of the current location. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import { type ApiError, whenSessionEnds } from './api/client.ts';
import type { Session } from './api/types.ts';
import { asApiError } from './api/use.ts';
import { CurrentPage } from './pages/current-page.tsx';
import { SignIn } from './pages/sign-in.tsx';
import { Announcer } from './parts/announce.tsx';
import { Failed, Loading } from './parts/states.tsx';
import { Frame } from './shell/frame.tsx';
import { firstLanguage, type Language, LanguageContext, saveLanguage } from './shell/language.ts';
import { readSession, SessionContext, signOut } from './shell/session.ts';

/** Undefined: not known yet. */
type Known = Session | null | undefined;

export function App() {
  const [language, setLanguage] = useState<Language>(firstLanguage);
  const [session, setSession] = useState<Known>(undefined);
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [ended, setEnded] = useState(false);

  useEffect(() => {
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  }, [language]);
  const read = useCallback(() => {
    setFailure(null);
    readSession().then(setSession, (error: unknown) => setFailure(asApiError(error)));
  }, []);
  useEffect(read, [read]);
  useEffect(() => {
    whenSessionEnds(() => {
      setEnded(true);
      setSession(null);
    });
  }, []);

  const choose = (chosen: Language) => {
    saveLanguage(chosen);
    setLanguage(chosen);
  };
  const leave = async () => {
    await signOut().catch(() => {});
    setEnded(false);
    setSession(null);
  };
  const enter = (made: Session) => {
    setEnded(false);
    setSession(made);
  };
  return (
    <LanguageContext.Provider value={language}>
      {failure ? (
        <main class="alone">
          <Failed error={failure} retry={read} />
        </main>
      ) : session === undefined ? (
        <main class="alone">
          <Loading />
        </main>
      ) : session === null ? (
        <SignIn onSession={enter} ended={ended} onLanguage={choose} />
      ) : (
        <SessionContext.Provider value={session}>
          <Frame onLanguage={choose} onSignOut={leave}>
            <CurrentPage />
          </Frame>
        </SessionContext.Provider>
      )}
      <Announcer />
    </LanguageContext.Provider>
  );
}
