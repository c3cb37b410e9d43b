/** The planner: a form for each kind of estimate, and what the API says. */
import { useEffect, useState } from 'preact/hooks';
import { type ApiError, post } from '../api/client.ts';
import type { Estimate } from '../api/types.ts';
import { asApiError } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { Choice } from '../parts/choice.tsx';
import { FieldErrors, FileField, TextField } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Empty, errorText, Loading } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { setQuery, useLocation } from '../shell/router.ts';
import { EstimatePanels } from './planner-results.tsx';

const KINDS = ['usage', 'fine_tune', 'batch', 'pretrain'] as const;
type Kind = (typeof KINDS)[number];

/** What a form begins with; a kind without a file is estimated at once. */
const FIRST: Record<Kind, Record<string, string>> = {
  usage: {
    ...{ calls_per_day: '1000', prompt_tokens: '500', cached_tokens: '0', answer_tokens: '200' },
    ...{ days: '30', date: '', credit_usd: '18.00' },
  },
  fine_tune: { model: 'gpt-4o-mini', epochs: 'auto', hours: '', date: '' },
  batch: { answer_tokens: '', date: '' },
  pretrain: {
    ...{ preset: 'gpt-3', flops: '', parameters: '', tokens: '', gpu: '', tflops: '' },
    ...{ utilisation: '', usd_per_hour: '', gpus: '' },
  },
};
const COUNTS = new Set(['calls_per_day', 'prompt_tokens', 'cached_tokens', 'answer_tokens', 'days']);
const FILE_BYTES_MAX = 900_000;
/** Of the file as text in JSON, where each quote is two characters; the API takes a mebibyte. */
const TEXT_BYTES_MAX = 1_030_000;

export function PlannerPage() {
  const t = useMessages();
  const { query } = useLocation();
  const kind = KINDS.find((each) => each === query.get('kind')) ?? 'usage';
  return (
    <Page title={t.nav.planner} lead={t.planner.lead}>
      <PlannerOf key={kind} kind={kind} />
    </Page>
  );
}

function PlannerOf({ kind }: { kind: Kind }) {
  const t = useMessages();
  const hasFile = kind === 'fine_tune' || kind === 'batch';
  const [values, setValues] = useState(FIRST[kind]);
  const [file, setFile] = useState<File | null>(null);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [found, setFound] = useState<Estimate | null>(null);
  const [busy, setBusy] = useState(!hasFile);

  async function send(): Promise<void> {
    setFailure(null);
    const wrong = wrongCounts(values, t.planner.badNumber);
    if (hasFile && file === null) wrong.file = t.planner.noFile;
    const text = file === null ? null : await textOf(file);
    if (file !== null && text === null) wrong.file = t.planner.tooLarge;
    setErrors(wrong);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    try {
      const sent = text === null ? {} : { file: text };
      setFound(await post<Estimate>('/estimates', { kind, ...bodyOf(values), ...sent }));
      announce(t.planner.done);
    } catch (error) {
      const failed = asApiError(error);
      const param = failed.param ?? '';
      if (param in values || param === 'file') setErrors({ [param]: failed.message });
      else setFailure(failed);
    } finally {
      setBusy(false);
    }
  }
  useEffect(() => {
    if (!hasFile) void send();
  }, []);
  const kinds = KINDS.map((value) => ({ value, text: t.planner.kinds[value] ?? value }));
  return (
    <>
      <Panel
        title={t.planner.kind}
        plain
        actions={
          <Choice
            label={t.planner.kind}
            value={kind}
            onChange={(chosen) => setQuery({ kind: chosen })}
            options={kinds}
          />
        }
      >
        <form
          class="planner"
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            if (!busy) void send();
          }}
        >
          <FieldErrors.Provider value={errors}>
            {hasFile && (
              <FileField
                label={t.planner.fields.file ?? ''}
                param="file"
                hint={t.planner.hints.file ?? ''}
                onFile={setFile}
              />
            )}
            {Object.entries(values).map(([name, value]) => (
              <TextField
                key={name}
                label={t.planner.fields[name] ?? name}
                param={name}
                hint={t.planner.hints[name] ?? ''}
                value={value}
                onValue={(text) => setValues({ ...values, [name]: text })}
                optional={FIRST[kind][name] === ''}
                numeric={COUNTS.has(name)}
              />
            ))}
          </FieldErrors.Provider>
          <div class="planner-send">
            <button type="submit" class="button primary" aria-disabled={busy}>
              {t.planner.submit}
            </button>
          </div>
        </form>
        <div role="alert">{failure && <p class="form-error">{errorText(t, failure)}</p>}</div>
      </Panel>
      {found ? (
        <div class={busy ? 'stale' : undefined} aria-busy={busy}>
          <EstimatePanels estimate={found} />
        </div>
      ) : (
        <Panel title={t.planner.result}>
          {busy ? <Loading lines={6} /> : <Empty title={t.planner.empty} text={t.planner.emptyText} />}
        </Panel>
      )}
    </>
  );
}

/** Null: it is larger than the API takes. */
async function textOf(file: File): Promise<string | null> {
  if (file.size > FILE_BYTES_MAX) return null;
  const text = await file.text();
  return new Blob([JSON.stringify(text)]).size > TEXT_BYTES_MAX ? null : text;
}

function wrongCounts(values: Record<string, string>, text: string): Record<string, string> {
  const wrong = Object.entries(values).filter(
    ([name, value]) => COUNTS.has(name) && value !== '' && !/^\d{1,9}$/.test(value),
  );
  return Object.fromEntries(wrong.map(([name]) => [name, text]));
}

/** Fields that are empty are left out; counts are numbers, all else is text. */
function bodyOf(values: Record<string, string>): Record<string, string | number> {
  const filled = Object.entries(values).filter(([, value]) => value !== '');
  return Object.fromEntries(
    filled.map(([name, value]) => {
      const isNumber = COUNTS.has(name) || (name === 'epochs' && /^\d{1,3}$/.test(value));
      return [name, isNumber ? Number(value) : value];
    }),
  );
}
