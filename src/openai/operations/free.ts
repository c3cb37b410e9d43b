/** Operations that cost nothing: moderations and the list of models. */
import { free } from './descriptor.ts';

/** As the API's published schema lists them. */
const MODERATION_MODELS = [
  'omni-moderation-latest',
  'omni-moderation-2024-09-26',
  'text-moderation-latest',
  'text-moderation-stable',
];

export const FREE = [
  free({ name: 'moderations', method: 'POST', path: '/moderations', knownModels: MODERATION_MODELS }),
  free({ name: 'models.list', method: 'GET', path: '/models', request: 'none', listsModels: true }),
  free({
    name: 'models.retrieve',
    method: 'GET',
    path: '/models/{model}',
    request: 'none',
    object: { kind: 'model', makes: false },
  }),
];
