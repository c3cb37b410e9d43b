/** When a model serves no more. */
export interface Shutdown {
  readonly model: string;
  /** YYYY-MM-DD; null: no end is set. */
  readonly day: string | null;
}

/** More models with an end than any upstream lists; what goes beyond is not noted. */
export const SHUTDOWNS_MAX = 1000;
