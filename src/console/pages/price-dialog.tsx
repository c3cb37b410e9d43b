/** The form that overrides a price, or sets one for a model without. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Price } from '../api/types.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { DateTimeField, SelectField, TextField } from '../parts/field.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { toInstant } from './dates.ts';
import { amountError } from './errors.ts';

interface PriceDialogProps {
  models: string[];
  onClose: () => void;
  onDone: (text: string) => void;
}

const TIERS = ['default', 'flex', 'priority', 'batch'] as const;
const PER_TOKENS = 1_000_000;

export function PriceDialog({ models, onClose, onDone }: PriceDialogProps) {
  const t = useMessages();
  const format = useFormat();
  const [form, setForm] = useState({
    model: '',
    tier: 'default',
    input: '',
    cached: '',
    write: '',
    output: '',
    from: '',
    most: '',
    source: '',
  });
  const set = (name: keyof typeof form) => (value: string) =>
    setForm((before) => ({ ...before, [name]: value }));
  const rateError = (text: string, needed: boolean) =>
    text === '' && !needed ? '' : amountError(t, text, true);
  return (
    <FormDialog
      title={t.prices.new}
      text={t.prices.perTokens(format.count(PER_TOKENS))}
      submit={t.prices.new}
      wide
      onClose={onClose}
      check={() => ({
        model: form.model.trim() === '' && t.common.required,
        input_usd: rateError(form.input, true),
        cached_input_usd: rateError(form.cached, false),
        cache_write_usd: rateError(form.write, false),
        output_usd: rateError(form.output, true),
        effective_from: toInstant(form.from) === undefined && t.common.badDate,
        max_output_tokens: !/^\d{0,9}$/.test(form.most) && t.prices.badCount,
        source: form.source.trim() === '' && t.common.required,
      })}
      send={async () => {
        const from = toInstant(form.from);
        await post<Price>('/prices', {
          model: form.model.trim(),
          tier: form.tier,
          input_usd: form.input,
          cached_input_usd: form.cached || null,
          cache_write_usd: form.write || null,
          output_usd: form.output,
          per_tokens: PER_TOKENS,
          ...(from ? { effective_from: from } : {}),
          ...(form.most === '' ? {} : { max_output_tokens: Number(form.most) }),
          source: form.source.trim(),
        });
        onDone(t.prices.made(form.model.trim()));
      }}
    >
      <div class="row">
        <TextField
          label={t.common.model}
          param="model"
          value={form.model}
          onValue={set('model')}
          among={models}
          autofocus
        />
        <SelectField
          label={t.prices.tier}
          param="tier"
          value={form.tier}
          onValue={set('tier')}
          options={TIERS.map((value) => ({ value, text: value }))}
        />
      </div>
      <div class="row">
        <TextField
          label={t.prices.input}
          param="input_usd"
          value={form.input}
          onValue={set('input')}
          numeric
        />
        <TextField
          label={t.prices.output}
          param="output_usd"
          value={form.output}
          onValue={set('output')}
          numeric
        />
      </div>
      <div class="row">
        <TextField
          label={t.prices.cached}
          param="cached_input_usd"
          optional
          value={form.cached}
          onValue={set('cached')}
          numeric
        />
        <TextField
          label={t.prices.write}
          param="cache_write_usd"
          optional
          value={form.write}
          onValue={set('write')}
          numeric
        />
      </div>
      <div class="row">
        <DateTimeField
          label={t.prices.from}
          param="effective_from"
          hint={t.prices.fromHint}
          optional
          value={form.from}
          onValue={set('from')}
        />
        <TextField
          label={t.prices.maxOutput}
          param="max_output_tokens"
          hint={t.prices.maxOutputHint}
          optional
          value={form.most}
          onValue={set('most')}
          numeric
        />
      </div>
      <TextField
        label={t.prices.source}
        param="source"
        hint={t.prices.sourceHint}
        value={form.source}
        onValue={set('source')}
      />
    </FormDialog>
  );
}
