import type { Keeper } from './keeper.ts';
import type { Cancellable, Credential, Sink } from './ports.ts';
import { unlessAborted } from './tasks.ts';

/** How to make the keeper of one credential. Plans are compared by their keys, so that a reload touches only what changed. */
export interface KeeperPlan {
  readonly name: string;
  /** Equal keys: the keeper that runs already is the one that would be made. */
  readonly key: string;
  /** Equal identities: a new keeper may go on with the credential of the old one. */
  readonly identityKey: string;
  readonly sinks: readonly Sink[];
  readonly make: (inherited: Credential | undefined) => Keeper;
}

interface Member {
  readonly plan: KeeperPlan;
  readonly keeper: Keeper;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** The keepers that run. One that fails never touches another; a bug in one ends them all. */
export class Fleet {
  readonly #members = new Map<string, Member>();
  readonly #broken = Promise.withResolvers<never>();
  #replaced: Promise<unknown> = Promise.resolve();
  #hasEnded = false;

  constructor() {
    this.#broken.promise.catch(() => {
      // Handled here, because a keeper may throw before `run` waits for this; `run` gets the error all the same.
    });
  }

  get keepers(): Keeper[] {
    return [...this.#members.values()].map(({ keeper }) => keeper);
  }

  /** Until the signal, or until a keeper throws what it should not; waits for every keeper to stop. */
  async run({ signal }: Cancellable): Promise<void> {
    try {
      await unlessAborted(this.#broken.promise, { signal });
    } finally {
      this.#hasEnded = true;
      // Not left to `replace`, which takes its turn behind a reload that may wait for a disk that hangs.
      for (const { stop } of this.#members.values()) stop.abort();
      await this.replace([]);
    }
  }

  /** Of these plans, the ones that no running keeper follows. */
  newcomers(plans: readonly KeeperPlan[]): KeeperPlan[] {
    return plans.filter(({ name, key }) => this.#members.get(name)?.plan.key !== key);
  }

  /**
   * Stops what is no longer planned or planned otherwise, and starts what is missing. Returns the names that changed.
   * One call after the other, and once the run has ended nothing starts any more.
   */
  async replace(plans: readonly KeeperPlan[]): Promise<string[]> {
    const replacing = this.#replaced.then(async () => await this.#replace(plans));
    this.#replaced = replacing.catch(() => undefined); // whoever called is told
    return await replacing;
  }

  async #replace(plans: readonly KeeperPlan[]): Promise<string[]> {
    const wanted = new Map(plans.map((plan) => [plan.name, plan]));
    const leaving = [...this.#members.values()].filter(({ plan }) => wanted.get(plan.name)?.key !== plan.key);
    const arriving = this.newcomers(plans);
    for (const { stop } of leaving) stop.abort();
    // Two keepers must never write the same file: whoever did has stopped before another one starts. But nobody waits for
    // those it has nothing to do with: a write may take as long as its disk hangs.
    const started = arriving.map(async (plan) => {
      await Promise.all(leaving.filter((member) => meet(member.plan, plan)).map(({ ended }) => ended));
      if (!this.#hasEnded) this.#start(plan, this.#members.get(plan.name));
    });
    // Not before somebody else answers for its files: /readyz must never miss a credential that is between two keepers.
    const left = leaving.map(async ({ plan, ended }) => {
      await Promise.all([ended, ...started.filter((_, i) => meet(arriving[i]!, plan))]);
      if (!wanted.has(plan.name)) this.#members.delete(plan.name);
    });
    await Promise.all([...started, ...left]);
    return [...new Set([...leaving.map(({ plan }) => plan.name), ...arriving.map(({ name }) => name)])];
  }

  #start(plan: KeeperPlan, predecessor: Member | undefined): void {
    const isHeir = predecessor?.plan.identityKey === plan.identityKey;
    const keeper = plan.make(isHeir ? predecessor.keeper.current : undefined);
    const stop = new AbortController();
    const ended = keeper.run(stop).catch((error: unknown) => {
      if (!stop.signal.aborted) this.#broken.reject(error);
    });
    this.#members.set(plan.name, { plan, keeper, stop, ended });
  }
}

/** Whether both keep the same credential, or write the same sink. */
function meet(one: KeeperPlan, other: KeeperPlan): boolean {
  return one.name === other.name || one.sinks.some(({ name }) => other.sinks.some((sink) => sink.name === name));
}
