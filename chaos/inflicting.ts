import type { PlannedFault } from './schedule.ts';
import type { SupervisedSidecar } from './sidecar.ts';
import type { Stage } from './stage.ts';

export interface World {
  readonly stage: Stage;
  readonly sidecar: SupervisedSidecar;
  readonly setOffset: (seconds: number) => void;
  /** What others say, in which nothing secret may stand. */
  readonly hear: (text: string) => void;
}

/** Another fault was faster. */
export class NotDone extends Error {}

/** Takes the fault away again. */
export type Undo = () => void | Promise<void>;

export type Inflict = (world: World, fault: PlannedFault) => Undo | Promise<Undo>;

export const nothing: Undo = () => undefined;
