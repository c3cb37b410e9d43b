/** Operations that cost nothing: moderations and the list of models. */
import { free } from './descriptor.ts';

export const FREE = [
  free({ name: 'moderations', method: 'POST', path: '/moderations' }),
  free({ name: 'models.list', method: 'GET', path: '/models', request: 'none' }),
  free({
    name: 'models.retrieve',
    method: 'GET',
    path: '/models/{model}',
    request: 'none',
    object: { kind: 'model', makes: false },
  }),
];
