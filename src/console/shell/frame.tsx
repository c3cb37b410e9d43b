/** The frame around every page: logo, navigation, session, language and theme. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Choice } from '../parts/choice.tsx';
import { ICONS, type IconName, Logo } from '../parts/icons.tsx';
import { TIME_ZONE } from './format.ts';
import { type Language, useLanguage, useMessages } from './language.ts';
import { BASE, useLocation } from './router.ts';
import { type Permission, useMay, useSession } from './session.ts';
import { chosenTheme, setTheme, type Theme } from './theme.ts';

interface FrameProps {
  onLanguage: (language: Language) => void;
  onSignOut: () => void;
  children: ComponentChildren;
}

export function Frame({ onLanguage, onSignOut, children }: FrameProps) {
  const t = useMessages();
  const { role, team, person } = useSession();
  const who = { admin: t.app.admin, team: t.app.teamKey(team?.name ?? ''), person: person?.display_name };
  return (
    <div class="frame">
      <a class="skip" href="#content">
        {t.app.skip}
      </a>
      <header class="side">
        <a class="brand" href={BASE}>
          <Logo />
          Tollgate
        </a>
        <Navigation />
        <div class="side-foot">
          <p class="who">
            <span class="who-label">{t.app.signedInAs}</span>
            <strong>{who[role]}</strong>
            {person && person.display_name !== person.user_name && (
              <span class="who-label">{person.user_name}</span>
            )}
            {role === 'team' && <span class="who-label">{t.app.readOnly}</span>}
          </p>
          <button type="button" class="button quiet" onClick={onSignOut}>
            {t.app.signOut}
          </button>
          <Preferences onLanguage={onLanguage} />
          <p class="zone">{t.app.times(TIME_ZONE)}</p>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

/** The pages, and what one must be allowed to see them: of any team, or of the whole organisation. */
export const PAGES = {
  overview: ['read', 'any'],
  departments: ['settings:read', 'any'],
  teams: ['read', 'any'],
  keys: ['read', 'any'],
  limits: ['read', 'any'],
  tags: ['settings:read', 'any'],
  plans: ['settings:read', 'any'],
  prices: ['settings:read', 'any'],
  upstreams: ['settings:read', 'any'],
  planner: ['settings:read', 'any'],
  calls: ['read', 'any'],
  jobs: ['read', 'any'],
  savings: ['read', 'any'],
  models: ['read', 'any'],
  labels: ['read', 'any'],
  notices: ['read', 'any'],
  reconciliation: ['read', 'all'],
  people: ['people', 'all'],
  sessions: ['sessions', 'any'],
  audit: ['audit:read', 'any'],
} as const satisfies Partial<Record<IconName, readonly [Permission, 'any' | 'all']>>;

export type PageName = keyof typeof PAGES;

export function mayOpen(may: ReturnType<typeof useMay>, page: PageName): boolean {
  const [permission, of] = PAGES[page];
  return may(permission, of);
}

function Navigation() {
  const t = useMessages();
  const { role } = useSession();
  const may = useMay();
  const [current = 'overview'] = useLocation().parts;
  const pages = (Object.keys(PAGES) as PageName[]).filter((page) => mayOpen(may, page));
  return (
    <nav aria-label={t.app.navigation}>
      <ul>
        {pages.map((page) => (
          <li key={page}>
            <a
              href={page === 'overview' ? BASE : `${BASE}/${page}`}
              aria-current={page === current ? 'page' : undefined}
            >
              <Icon of={page} />
              {page === 'teams' && role === 'team' ? t.nav.team : t.nav[page]}
            </a>
          </li>
        ))}
        <li class="apart">
          <a href={`${BASE}/api`} target="_blank" rel="noreferrer">
            <Icon of="api" />
            {t.app.apiReference}
            <span class="hidden"> ({t.app.newTab})</span>
          </a>
        </li>
      </ul>
    </nav>
  );
}

function Icon({ of }: { of: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={ICONS[of]} />
    </svg>
  );
}

export function Preferences({ onLanguage }: { onLanguage: (language: Language) => void }) {
  const t = useMessages();
  const language = useLanguage();
  const [theme, setShown] = useState<Theme>(chosenTheme);
  const themes = (['system', 'light', 'dark'] as const).map((value) => ({
    value,
    text: t.app.themes[value],
  }));
  const choose = (value: Theme) => {
    setTheme(value);
    setShown(value);
  };
  return (
    <section class="preferences" aria-label={t.app.preferences}>
      <Choice
        label={t.app.language}
        value={language}
        onChange={onLanguage}
        options={[
          { value: 'en', text: 'English' },
          { value: 'zh', text: '中文' },
        ]}
      />
      <Choice label={t.app.theme} value={theme} onChange={choose} options={themes} />
    </section>
  );
}
