/** Who plays in the demo: the teams, what they may spend, and what they call. Data only. */

/** One kind of call that a team makes again and again. */
export interface Habit {
  api: 'chat' | 'responses' | 'embeddings';
  model: string;
  stream: boolean;
  maxOutputTokens: number;
  /** A whole number: how often, compared with all other habits. */
  weight: number;
  prompts: readonly string[];
}

export interface Role {
  name: string;
  /** Prepaid credit; null: none, the budget below bounds the team. */
  plan: 'free-tier' | null;
  /** USD, in the current calendar month or for ever. */
  budget: { amount: string; window: 'month' | 'lifetime' } | null;
  habits: readonly Habit[];
}

const chat = (model: string, weight: number, maxOutputTokens: number, prompts: readonly string[]): Habit => ({
  api: 'chat',
  model,
  stream: false,
  maxOutputTokens,
  weight,
  prompts,
});
const streamed = (habit: Habit): Habit => ({ ...habit, stream: true });

const RESEARCH = [
  'Compare these two proofs and say where they differ.',
  'Which experiment would tell the two hypotheses apart?',
];
const PRODUCT = [
  'Turn these notes into a release announcement.',
  'Rewrite this paragraph so that a customer understands it.',
];
const SUPPORT = [
  'A customer cannot log in since this morning. Draft an answer.',
  'Sort this ticket: billing, bug or question?',
];

/** The team of whoever watches: no traffic but theirs. */
export const YOU = 'you';

/** Models from the fastest to the most capable; one team runs out of money within a minute. */
export const CAST: readonly Role[] = [
  {
    name: 'research',
    plan: null,
    budget: { amount: '50', window: 'month' },
    habits: [
      { ...streamed(chat('gpt-6-astra', 2, 600, RESEARCH)), api: 'responses' },
      chat('gpt-5.6-sol', 3, 800, RESEARCH),
    ],
  },
  {
    name: 'product',
    plan: null,
    budget: { amount: '20', window: 'month' },
    habits: [streamed(chat('gpt-5.6-terra', 5, 500, PRODUCT)), chat('gpt-5.6-luna', 4, 300, PRODUCT)],
  },
  {
    name: 'support',
    plan: null,
    budget: { amount: '5', window: 'month' },
    habits: [
      chat('gpt-5.4-nano', 6, 200, SUPPORT),
      { ...chat('text-embedding-3-small', 5, 0, SUPPORT), api: 'embeddings' },
    ],
  },
  {
    name: 'trial',
    plan: 'free-tier',
    budget: null,
    habits: [streamed(chat('gpt-5.6-sol', 3, 400, PRODUCT)), chat('gpt-5.6-luna', 2, 300, SUPPORT)],
  },
  {
    name: 'interns',
    plan: null,
    budget: { amount: '0.01', window: 'lifetime' },
    habits: [chat('gpt-5.6-terra', 4, 300, PRODUCT)],
  },
  { name: YOU, plan: 'free-tier', budget: null, habits: [] },
];
