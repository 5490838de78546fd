import { setTimeout as delay } from 'node:timers/promises';
import { DIRECTORIES, FILES } from './layout.ts';
import { commandLines, usageOf, type Usage } from './processes.ts';
import type { SupervisedSidecar } from './sidecar.ts';
import type { Stage } from './stage.ts';

export const REST_MS = 4_000;
const SAMPLES_WITHIN_MS = 3_750;
const SAMPLE_EVERY_MS = 100;
/** A connection of somebody who asks for health may just be open. */
const SPARE_DESCRIPTORS = 3;
/** Idle connections to the API server, of which it keeps so many at most. */
const KEPT_CONNECTIONS = 4;
/** Of the settings, of each directory, and of the one above, which is watched while one of them is away. */
const MAX_WATCHES = DIRECTORIES.length + 2;
const ON_THE_VOLUME: ReadonlySet<string> = new Set([
  ...FILES.map(({ path }) => path),
  ...DIRECTORIES.flatMap((name) => [`${name}/.${name}.state.json`, `${name}/extra`]),
]);

/** Looks at what is left when nothing has been in the way for a while. */
export class Rest {
  readonly #stage: Stage;
  readonly #sidecar: SupervisedSidecar;
  readonly #violate: (what: string) => void;
  /** Of each process, at its first rest. */
  readonly #first = new Map<number, Usage>();

  constructor(stage: Stage, sidecar: SupervisedSidecar, violate: (what: string) => void) {
    this.#stage = stage;
    this.#sidecar = sidecar;
    this.#violate = violate;
  }

  /** @returns the command lines that it saw, for whoever looks for secrets in them */
  async check(signal: AbortSignal): Promise<string> {
    const samples: Usage[] = [];
    const running = new Set<string>();
    const { pid, starts } = this.#sidecar;
    const before = new Set(this.#stage.litter());
    const until = performance.now() + SAMPLES_WITHIN_MS;
    while (performance.now() < until) {
      const usage = pid === undefined ? undefined : usageOf(pid);
      if (usage !== undefined) samples.push(usage);
      for (const line of commandLines()) running.add(line);
      await delay(SAMPLE_EVERY_MS, undefined, { signal });
    }
    if (pid === undefined || pid !== this.#sidecar.pid || samples.length === 0) {
      this.#violate('the sidecar does not run, though nothing is in its way');
    } else this.#compare(leastOf(samples), starts);
    // What is there at one moment only is a file that is being written.
    const litter = this.#stage.litter().filter((path) => before.has(path) && !ON_THE_VOLUME.has(path));
    if (litter.length > 0) this.#violate(`left on the volume: ${litter.join(', ')}`);
    return [...running].join('\n');
  }

  #compare(usage: Usage, starts: number): void {
    const { processes, descriptors, threads, watches } = usage;
    if (processes.length > 1) {
      this.#violate(`${processes.length} processes, where one should be: ${commandLines().join(' | ')}`);
    }
    if (watches > MAX_WATCHES) this.#violate(`there are ${watches} inotify watches`);
    const first = this.#first.get(starts) ?? usage;
    this.#first.set(starts, first);
    const spare = SPARE_DESCRIPTORS + (this.#stage.hasSecret ? KEPT_CONNECTIONS : 0);
    if (descriptors > first.descriptors + spare)
      this.#violate(`${descriptors} file descriptors are open, where ${first.descriptors} were`);
    if (threads > first.threads) this.#violate(`there are ${threads} threads, where ${first.threads} were`);
  }
}

/** A mint may be going on at any time, but none all the time. */
function leastOf(samples: readonly Usage[]): Usage {
  const least = (field: Exclude<keyof Usage, 'processes'>): number => Math.min(...samples.map((usage) => usage[field]));
  return {
    processes: samples[0]!.processes.filter((pid) => samples.every(({ processes }) => processes.includes(pid))),
    descriptors: least('descriptors'),
    threads: least('threads'),
    watches: least('watches'),
  };
}
