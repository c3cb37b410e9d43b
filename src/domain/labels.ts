/** What people say of an output after they looked at it: a model may be wrong, whatever they cost. */
export const LABELS = ['accepted', 'edited', 'rejected'] as const;
export type Label = (typeof LABELS)[number];
