/** Fields of forms. Invariant: each has a label, and its error is tied to it, also for screen readers. */
import { type ComponentChildren, createContext } from 'preact';
import { useContext, useId } from 'preact/hooks';
import { useMessages } from '../shell/language.ts';

/** The errors of a form's fields, by the API's name of the field. */
export const FieldErrors = createContext<Record<string, string>>({});

interface FieldProps {
  label: string;
  /** The API's name of the field. */
  param: string;
  hint?: string;
  optional?: boolean;
  value: string;
  onValue: (value: string) => void;
}

interface FrameProps extends Omit<FieldProps, 'value' | 'onValue'> {
  children: (attributes: {
    id: string;
    'data-param': string;
    'aria-invalid': boolean;
    'aria-describedby': string | undefined;
  }) => ComponentChildren;
}

function Frame({ label, param, hint, optional, children }: FrameProps) {
  const t = useMessages();
  const id = useId();
  const error = useContext(FieldErrors)[param];
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return (
    <div class="field">
      <label for={id}>
        {label}
        {optional && <span class="optional"> {t.common.optional}</span>}
      </label>
      {children({
        id,
        'data-param': param,
        'aria-invalid': error !== undefined,
        'aria-describedby': described || undefined,
      })}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

interface TextProps extends FieldProps {
  /** Suggestions. */
  among?: readonly string[] | undefined;
  numeric?: boolean;
  autofocus?: boolean;
}

export function TextField(props: TextProps) {
  const { value, onValue, among, numeric, autofocus } = props;
  const list = useId();
  return (
    <Frame {...props}>
      {(attributes) => (
        <>
          <input
            {...attributes}
            type="text"
            value={value}
            class={numeric ? 'numeric' : undefined}
            inputMode={numeric ? 'decimal' : undefined}
            autocomplete="off"
            spellcheck={false}
            autofocus={autofocus}
            list={among ? list : undefined}
            onInput={(event) => onValue(event.currentTarget.value)}
          />
          {among && (
            <datalist id={list}>
              {among.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Frame>
  );
}

/** Text of several lines. */
export function AreaField(props: FieldProps) {
  const { value, onValue } = props;
  return (
    <Frame {...props}>
      {(attributes) => (
        <textarea
          {...attributes}
          rows={6}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

/** A key: hidden while it is typed; password managers may fill it in. */
export function SecretField(props: FieldProps) {
  const { value, onValue } = props;
  return (
    <Frame {...props}>
      {(attributes) => (
        <input
          {...attributes}
          type="password"
          value={value}
          autocomplete="current-password"
          autofocus
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

/** A date and time in the browser's time zone, as `2026-11-25T14:00`. */
export function DateTimeField(props: FieldProps) {
  const { value, onValue } = props;
  return (
    <Frame {...props}>
      {(attributes) => (
        <input
          {...attributes}
          type="datetime-local"
          value={value}
          max="9998-12-31T23:59"
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

interface FileProps extends Omit<FieldProps, 'value' | 'onValue'> {
  /** Null: none is chosen. */
  onFile: (file: File | null) => void;
}

/** A file of lines from the user's machine. */
export function FileField(props: FileProps) {
  return (
    <Frame {...props}>
      {(attributes) => (
        <input
          {...attributes}
          type="file"
          accept=".jsonl,.ndjson,.txt,application/jsonl"
          onChange={(event) => props.onFile(event.currentTarget.files?.[0] ?? null)}
        />
      )}
    </Frame>
  );
}

interface SelectProps extends FieldProps {
  options: readonly { value: string; text: string }[];
}

export function SelectField(props: SelectProps) {
  const { value, onValue, options } = props;
  return (
    <Frame {...props}>
      {(attributes) => (
        <select {...attributes} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
          {options.map((option) => (
            <option key={option.value} value={option.value} selected={option.value === value}>
              {option.text}
            </option>
          ))}
        </select>
      )}
    </Frame>
  );
}

interface TickProps {
  label: string;
  hint?: string;
  checked: boolean;
  onChecked: (checked: boolean) => void;
}

export function Tick({ label, hint, checked, onChecked }: TickProps) {
  const id = useId();
  return (
    <div class="tick">
      <input
        id={id}
        type="checkbox"
        checked={checked}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onChange={(event) => onChecked(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}
