/** The form of a tag: its name, its values, and where it may come from. */
import { useState } from 'preact/hooks';
import { patch, post } from '../api/client.ts';
import type { Tag } from '../api/types.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField, Tick } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';

const SOURCES = ['key', 'header', 'metadata'] as const;
const ON_UNKNOWN = ['refuse', 'ignore'] as const;

interface FormProps {
  /** Null: a new one. */
  tag: Tag | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

/** A tag as its form holds it. */
interface Fields {
  name: string;
  values: string;
  pattern: string;
  sources: readonly string[];
  required: boolean;
  onUnknown: string;
  maxValues: string;
  idleDays: string;
}

function fieldsOf(tag: Tag | null): Fields {
  return {
    name: tag?.name ?? '',
    values: tag?.values?.join(', ') ?? '',
    pattern: tag?.pattern ?? '',
    sources: tag?.sources ?? ['key', 'header'],
    required: tag?.required ?? false,
    onUnknown: tag?.on_unknown ?? 'refuse',
    maxValues: String(tag?.max_values ?? 10_000),
    idleDays: String(tag?.idle_days ?? 30),
  };
}

function toBody(fields: Fields) {
  const values = valuesOf(fields.values);
  const pattern = fields.pattern.trim();
  return {
    values,
    pattern: values !== null || pattern === '' ? null : pattern,
    sources: fields.sources,
    required: fields.required,
    on_unknown: fields.onUnknown,
    ...(values === null ? { max_values: Number(fields.maxValues), idle_days: Number(fields.idleDays) } : {}),
  };
}

export function TagForm({ tag, onClose, onDone }: FormProps) {
  const t = useMessages();
  const [fields, setFields] = useState(fieldsOf(tag));
  const set = (part: Partial<Fields>) => setFields({ ...fields, ...part });
  const name = fields.name.trim();
  const isOpen = valuesOf(fields.values) === null;
  const badCount = (text: string) => !/^[1-9]\d{0,6}$/.test(text) && t.limits.wholeNumber;
  return (
    <FormDialog
      title={tag === null ? t.tags.new : t.tags.edit}
      submit={tag === null ? t.tags.new : t.common.save}
      wide
      onClose={onClose}
      check={() => ({
        name: name === '' && t.common.required,
        max_values: isOpen && badCount(fields.maxValues),
        idle_days: isOpen && badCount(fields.idleDays),
      })}
      send={async () => {
        if (tag === null) await post<Tag>('/tags', { name, ...toBody(fields) });
        else await patch<Tag>(`/tags/${encodeURIComponent(name)}`, toBody(fields));
        onDone(tag === null ? t.tags.made(name) : t.tags.changed(name));
      }}
    >
      {tag === null && (
        <TextField
          label={t.common.name}
          param="name"
          hint={t.tags.nameHint}
          value={fields.name}
          onValue={(text) => set({ name: text })}
          autofocus
        />
      )}
      <TextField
        label={t.tags.values}
        param="values"
        hint={t.tags.valuesHint}
        optional
        value={fields.values}
        onValue={(values) => set({ values })}
      />
      {isOpen && <OpenFields fields={fields} onFields={set} />}
      <SourceFields fields={fields} onFields={set} />
      <SelectField
        label={t.tags.onUnknown}
        param="on_unknown"
        value={fields.onUnknown}
        onValue={(onUnknown) => set({ onUnknown })}
        options={ON_UNKNOWN.map((value) => ({ value, text: t.tags.onUnknownNames[value] }))}
      />
      <Tick
        label={t.tags.required}
        hint={t.tags.requiredHint}
        checked={fields.required}
        onChecked={(required) => set({ required })}
      />
    </FormDialog>
  );
}

interface PartProps {
  fields: Fields;
  onFields: (part: Partial<Fields>) => void;
}

/** Of a tag without a list of values. */
function OpenFields({ fields, onFields }: PartProps) {
  const t = useMessages();
  return (
    <>
      <TextField
        label={t.tags.pattern}
        param="pattern"
        hint={t.tags.patternHint}
        optional
        value={fields.pattern}
        onValue={(pattern) => onFields({ pattern })}
      />
      <div class="row">
        <TextField
          label={t.tags.maxValues}
          param="max_values"
          hint={t.tags.maxValuesHint}
          value={fields.maxValues}
          onValue={(maxValues) => onFields({ maxValues })}
          numeric
        />
        <TextField
          label={t.tags.idleDays}
          param="idle_days"
          hint={t.tags.idleDaysHint}
          value={fields.idleDays}
          onValue={(idleDays) => onFields({ idleDays })}
          numeric
        />
      </div>
    </>
  );
}

function SourceFields({ fields: { sources }, onFields }: PartProps) {
  const t = useMessages();
  return (
    <fieldset class="lines">
      <legend>{t.tags.sources}</legend>
      {SOURCES.map((source) => (
        <Tick
          key={source}
          label={t.tags.sourceNames[source]}
          hint={t.tags.sourceHints[source]}
          checked={sources.includes(source)}
          onChecked={(on) =>
            onFields({
              sources: SOURCES.filter((each) => (each === source ? on : sources.includes(each))),
            })
          }
        />
      ))}
    </fieldset>
  );
}

/** Returns values that are written apart by commas; null: any. */
function valuesOf(text: string): string[] | null {
  const values = text.split(/[,，\n]/).map((part) => part.trim());
  const filled = [...new Set(values)].filter((value) => value !== '');
  return filled.length === 0 ? null : filled;
}
