/** Operations that cost nothing and belong to no other family: moderations and models. A model is deleted by the team that made it. */
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
  free({ name: 'models.list', method: 'GET', path: '/models', listsModels: true }),
  free({ name: 'models.retrieve', method: 'GET', path: '/models/{model}', pathObjects: {}, query: null }),
  free({
    name: 'models.delete',
    method: 'DELETE',
    path: '/models/{model}',
    pathObjects: { model: 'model' },
    ends: true,
  }),
];
