/** Pages that few people open: their code is loaded when one of them is. */
import { LabelsPage } from './labels.tsx';
import { ModelsPage } from './models.tsx';
import { PeoplePage } from './people.tsx';
import { PlannerPage } from './planner.tsx';
import { ReconciliationPage } from './reconciliation.tsx';
import { SavingsPage } from './savings.tsx';
import { TagsPage } from './tags.tsx';

export const LATER = {
  labels: LabelsPage,
  models: ModelsPage,
  people: PeoplePage,
  planner: PlannerPage,
  reconciliation: ReconciliationPage,
  savings: SavingsPage,
  tags: TagsPage,
};
