/** Teams and models with a label of their own, by default. */
export const TEAM_CAP = 64;
export const MODEL_CAP = 16;

/** What labels beyond the cap share, so that no number of teams or models can grow the page without end. */
export const OTHER = 'other';
