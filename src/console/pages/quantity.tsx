/** Money, or a number of what a limit counts. */
import { Money } from '../parts/money.tsx';
import { useWords } from '../shell/language.ts';
import { type Meter, quantityText } from './limit-words.ts';

interface QuantityProps {
  meter: Meter;
  amount: string;
  reserve?: number;
}

export function Quantity({ meter, amount, reserve }: QuantityProps) {
  const t = useWords();
  if (meter === 'cost_usd') return <Money usd={amount} reserve={reserve} />;
  return <span class="numeric">{quantityText(t, meter, amount)}</span>;
}
