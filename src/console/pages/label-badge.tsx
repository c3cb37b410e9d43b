/** A label as a badge. */
import type { Label } from '../api/types.ts';
import { useMessages } from '../shell/language.ts';

const LOOKS = { accepted: 'fine', edited: 'near', rejected: 'full' } as const;

export function LabelBadge({ label }: { label: Label['label'] }) {
  return <span class={`badge ${LOOKS[label]}`}>{useMessages().labels.names[label]}</span>;
}
