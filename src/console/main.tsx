/**
 * The console: the web interface for people. Owns: its pages and their messages. Does not own: any rule of money; it
 * shows what the admin API returns (`admin/contract.ts`) and sends changes to it. Invariants: amounts stay exact
 * decimal strings; colour alone carries no meaning.
 */
import { render } from 'preact';
import { App } from './app.tsx';
import { listenToLinks } from './shell/router.ts';
import { applyTheme } from './shell/theme.ts';

applyTheme();
listenToLinks();
const place = document.getElementById('console');
if (place) render(<App />, place);
