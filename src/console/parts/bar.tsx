/** The used share of a budget as a bar, with its value for screen readers. */
interface BarProps {
  label: string;
  /** 0 to 1; above 1 the budget is exceeded. */
  used: number;
  /** The share that calls in flight hold beyond it. */
  held?: number;
  /** A part of a sum: nothing runs out. */
  plain?: boolean;
}

const NEAR = 0.8;

export function Bar({ label, used, held = 0, plain = false }: BarProps) {
  const state = plain ? 'fine' : used >= 1 ? 'full' : used >= NEAR ? 'near' : 'fine';
  const percent = (share: number) => `${Math.min(100, Math.max(0, share * 100))}%`;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a <meter> cannot show two parts, and looks different everywhere
    <span
      class={`bar bar-${state}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(Math.min(1, used) * 100)}
    >
      <span class="bar-used" style={{ width: percent(used) }} />
      {held > 0 && <span class="bar-held" style={{ width: percent(Math.min(held, 1 - used)) }} />}
    </span>
  );
}
