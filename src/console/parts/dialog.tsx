/** Dialogs: the browser's own, which keeps the focus inside and gives it back. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { ApiError } from '../api/client.ts';
import { asApiError } from '../api/use.ts';
import { useWords } from '../shell/language.ts';
import { FaultContext } from './field.tsx';
import { refusalText } from './states.tsx';

interface DialogProps {
  title: string;
  onClose: () => void;
  wide?: boolean | undefined;
  /** What it shows must not be lost by a stray key. */
  mustAnswer?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, wide, mustAnswer, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    // Whoever opened it gets the focus back, unless it is gone by then.
    const opener = document.activeElement;
    element?.showModal();
    return () => {
      element?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
      else document.querySelector<HTMLElement>('h1')?.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={wide ? 'dialog wide' : 'dialog'}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        if (!mustAnswer) onClose();
      }}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

interface FormDialogProps {
  title: string;
  text?: ComponentChildren;
  submit: string;
  /** The change cannot be undone. */
  danger?: boolean;
  wide?: boolean | undefined;
  /** What is wrong with what was entered, by the API's name of the field; false or empty: nothing. */
  check?: () => Record<string, string | false>;
  /** Sends it; throws ApiError when it is refused. */
  send: () => Promise<void>;
  onClose: () => void;
  children?: ComponentChildren;
}

/** A form in a dialog: checks, sends, and says at its field what the API refused. */
export function FormDialog({
  title,
  text,
  submit,
  danger,
  wide,
  check,
  send,
  onClose,
  children,
}: FormDialogProps) {
  const t = useWords();
  const form = useRef<HTMLFormElement>(null);
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [refusal, setRefusal] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);

  const show = (found: Record<string, string>) => {
    setFaults(found);
    requestAnimationFrame(() => {
      const first = form.current?.querySelector<HTMLElement>('[aria-invalid="true"]');
      // What is folded away cannot be focused.
      const folded = first?.closest('details');
      if (folded) folded.open = true;
      first?.focus();
    });
  };
  async function submitted(event: Event) {
    event.preventDefault();
    if (busy) return;
    setRefusal(null);
    const found = Object.entries(check?.() ?? {}).flatMap(([name, fault]) => (fault ? [[name, fault]] : []));
    show(Object.fromEntries(found));
    if (found.length > 0) return;
    setBusy(true);
    try {
      await send();
    } catch (error) {
      const refused = asApiError(error);
      setRefusal(refused);
      if (refused.param) show({ [refused.param]: refused.message });
    } finally {
      setBusy(false);
    }
  }

  const atField =
    refusal?.param && form.current?.querySelector(`[data-param="${CSS.escape(refusal.param)}"]`);
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form ref={form} noValidate onSubmit={submitted}>
        {text && <p class="dialog-text">{text}</p>}
        <FaultContext.Provider value={faults}>{children}</FaultContext.Provider>
        <div role="alert">{refusal && !atField && <p class="refusal">{refusalText(t, refusal)}</p>}</div>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={onClose}>
            {t.common.cancel}
          </button>
          <button type="submit" class={danger ? 'button danger' : 'button primary'} aria-disabled={busy}>
            {submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
