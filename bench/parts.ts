import { measureAdmission } from './admission.ts';
import { measureCpu } from './cpu.ts';
import { measureFleet } from './fleet.ts';
import { measureFlood } from './flood.ts';
import { measureHeadToHead } from './head-to-head/measure.ts';
import { measureHelper } from './helper.ts';
import { measureMemory } from './memory.ts';
import { measurePublish } from './publish.ts';
import type { Scene } from './scene.ts';
import { measureSecretMemory } from './secret-memory.ts';
import type { SectionName } from './sections.ts';
import { measureSimulation } from './simulation/measure.ts';
import { measureStart } from './start.ts';
import type { Extent } from './table.ts';

export interface Part {
  readonly measure: (scene: Scene, extent: Extent) => Promise<void>;
  /** It starts the program, which has to be built. */
  readonly needsBundle: boolean;
}

/** What `npm run bench` measures, in this order; each has its section on the page of figures. */
export const PARTS = {
  start: { measure: measureStart, needsBundle: true },
  publish: { measure: measurePublish, needsBundle: true },
  memory: {
    measure: async (scene: Scene) => {
      await measureMemory(scene);
      await measureSecretMemory(scene);
    },
    needsBundle: true,
  },
  cpu: { measure: measureCpu, needsBundle: true },
  flood: { measure: measureFlood, needsBundle: true },
  fleet: { measure: measureFleet, needsBundle: true },
  simulation: { measure: measureSimulation, needsBundle: false },
  'head-to-head': { measure: measureHeadToHead, needsBundle: true },
  helper: { measure: measureHelper, needsBundle: true },
  admission: { measure: measureAdmission, needsBundle: false },
} as const satisfies Partial<Record<SectionName, Part>>;

export type PartName = keyof typeof PARTS;
export const PART_NAMES = Object.keys(PARTS) as PartName[];
