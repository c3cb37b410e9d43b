/** How much of a budget is used, as a bar and as a number. */
import { ratio } from '../money.ts';
import { Bar } from '../parts/bar.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';

export function UsedBar({ amount, settled, held }: { amount: string; settled: string; held: string }) {
  const t = useWords();
  const format = useFormat();
  const share = ratio(settled, amount);
  return (
    <span class="tightest">
      <Bar label={t.overview.usedShare(format.percent(share))} used={share} held={ratio(held, amount)} />
      <span class="tightest-share">{format.percent(share)}</span>
    </span>
  );
}
