/** Dialogs: the browser's `<dialog>`, which keeps the focus inside; the focus returns to the opener at the end. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { ApiError } from '../api/client.ts';
import { asApiError } from '../api/use.ts';
import { useMessages } from '../shell/language.ts';
import { FieldErrors } from './field.tsx';
import { errorText } from './states.tsx';

interface DialogProps {
  title: string;
  onClose: () => void;
  wide?: boolean | undefined;
  /** Escape does not close it: what it shows must not get lost. */
  mustAnswer?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, wide, mustAnswer, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
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
  /** Returns the error of each field, by the API's name of the field; false or empty: none. */
  check?: () => Record<string, string | false>;
  /** Sends the form; throws ApiError when the API responds with an error. */
  send: () => Promise<void>;
  onClose: () => void;
  children?: ComponentChildren;
}

/** A form in a dialog: checks, sends, and shows the API's error at its field. */
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
  const t = useMessages();
  const form = useRef<HTMLFormElement>(null);
  const [fieldErrors, setFieldErrors] = useState<Record<string, string>>({});
  const [apiError, setApiError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);

  const show = (found: Record<string, string>) => {
    setFieldErrors(found);
    requestAnimationFrame(() => {
      const first = form.current?.querySelector<HTMLElement>('[aria-invalid="true"]');
      // A field in closed details cannot get the focus.
      const folded = first?.closest('details');
      if (folded) folded.open = true;
      first?.focus();
    });
  };
  async function submitted(event: Event) {
    event.preventDefault();
    if (busy) return;
    setApiError(null);
    const found = Object.entries(check?.() ?? {}).flatMap(([name, text]) => (text ? [[name, text]] : []));
    show(Object.fromEntries(found));
    if (found.length > 0) return;
    setBusy(true);
    try {
      await send();
    } catch (error) {
      const failed = asApiError(error);
      setApiError(failed);
      if (failed.param) show({ [failed.param]: failed.message });
    } finally {
      setBusy(false);
    }
  }

  const atField =
    apiError?.param && form.current?.querySelector(`[data-param="${CSS.escape(apiError.param)}"]`);
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form ref={form} noValidate onSubmit={submitted}>
        {text && <p class="dialog-text">{text}</p>}
        <FieldErrors.Provider value={fieldErrors}>{children}</FieldErrors.Provider>
        <div role="alert">{apiError && !atField && <p class="form-error">{errorText(t, apiError)}</p>}</div>
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
