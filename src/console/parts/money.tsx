/** An exact amount of USD: cents in full ink, what is below a cent after them in grey; nothing is rounded away. */
import { partsOf } from '../money.ts';

interface MoneyProps {
  usd: string;
  /** Digits beyond cents that the column reserves, so that decimal points stand under each other. */
  reserve?: number | undefined;
}

export function Money({ usd, reserve = 0 }: MoneyProps) {
  const { sign, main, rest } = partsOf(usd);
  const missing = Math.max(0, reserve - rest.length);
  return (
    <span class="money" style={missing > 0 ? { paddingInlineEnd: `${missing * 0.88}ch` } : undefined}>
      {sign}${main}
      {rest !== '' && <span class="money-rest">{rest}</span>}
    </span>
  );
}

/** An estimate, shown without digits below a cent. */
export function About({ usd }: { usd: string }) {
  const { sign, main } = partsOf(usd);
  return (
    <span class="money">
      <span class="about">≈</span> {sign}${main}
    </span>
  );
}

/** The same as plain text, for sentences and labels. */
export function moneyText(usd: string): string {
  const { sign, main, rest } = partsOf(usd);
  return `${sign}$${main}${rest}`;
}
