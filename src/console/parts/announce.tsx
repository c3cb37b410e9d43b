/** A short message about what just happened, at the edge of the window and for screen readers. */
import { useEffect, useState } from 'preact/hooks';

const SHOWN_MS = 6_000;
let show: (text: string) => void = () => {};

export function announce(text: string): void {
  show(text);
}

export function Announcer() {
  const [text, setText] = useState('');
  useEffect(() => {
    show = setText;
    return () => {
      show = () => {};
    };
  }, []);
  useEffect(() => {
    if (text === '') return;
    const timer = setTimeout(() => setText(''), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div class="announcer" role="status" aria-live="polite">
      {text !== '' && <p>{text}</p>}
    </div>
  );
}
