/** A secret that is shown once, and the button that copies it. */
import { useState } from 'preact/hooks';
import { useMessages } from '../shell/language.ts';
import { announce } from './announce.tsx';

export function Secret({ label, text }: { label: string; text: string }) {
  const t = useMessages();
  const [copied, setCopied] = useState(false);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      announce(t.common.copied);
    } catch {
      announce(t.common.copyFailed);
    }
  }
  return (
    <div class="secret">
      <output aria-label={label}>{text}</output>
      <button type="button" class="button" onClick={copy}>
        {copied ? t.common.copied : t.common.copy}
      </button>
    </div>
  );
}
