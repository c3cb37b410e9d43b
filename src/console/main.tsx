/**
 * The console: what people look at in a browser. Owns: pages and their words. Does not own: any rule of money; it shows what
 * the admin API answers and sends what people enter. Invariants: it talks to its own origin alone; amounts stay decimal
 * strings; nothing is told by colour only.
 */
import { render } from 'preact';
import { App } from './app.tsx';
import { listenToLinks } from './shell/router.ts';
import { applyTheme } from './shell/theme.ts';

applyTheme();
listenToLinks();
const place = document.getElementById('console');
if (place) render(<App />, place);
