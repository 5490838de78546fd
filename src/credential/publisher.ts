import { SinkError } from './errors.ts';
import { FirstSight } from './first-sight.ts';
import { HangWatch } from './hang-watch.ts';
import { type Held, PatientLook } from './patient-look.ts';
import type { Cancellable, Clock, Credential, Sink } from './ports.ts';
import type { PublisherOptions } from './publisher-options.ts';
import { asFound, isFromFuture } from './recovered.ts';
import { RepairLimit } from './repair-limit.ts';
import { mayStay } from './sharing.ts';
import type { SinkStatus } from './status.ts';
import { runAll, type Task, unlessAborted } from './tasks.ts';
import { Alarm } from './ticker.ts';
import { WriteRetries } from './write-retries.ts';

/** Others' changes are looked for this often, whether or not the watch tells of them. */
const INSPECTION_MS = 1_000;

/** Keeps one sink at the credential it was last given: writes, retries, repairs. Never mints. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #firstWrite = Promise.withResolvers<void>();
  /** Settles once what an earlier process, or another writer, has left is known, as far as it can be. */
  readonly #recovered = Promise.withResolvers<void>();
  /** Settles with the first write, or with its failure. */
  readonly #firstTry = Promise.withResolvers<void>();
  readonly #repairs: RepairLimit;
  readonly #retries: WriteRetries;
  readonly #sight: FirstSight;
  readonly #patientLook: PatientLook;
  readonly #hangs: HangWatch;
  /** What the sink should hold. */
  #wanted: Credential | undefined;
  /** The last that was written or found there. */
  #held: Credential | undefined;
  /** The last one whose write was begun: on a slow disk readers may have it long before the write ends. */
  #tried: Credential | undefined;
  #isNew = false;
  /** `#wanted`, once the sink has held it or something as good. */
  #settledFor: Credential | undefined;
  /** Fingerprint of what a shared sink held at the last `look`, or of what was written here since. */
  #heldAtLook: string | undefined;
  /** `#heldAtLook` as it was for the mint of `#wanted`; a look for a later mint, which may fail, does not change it. */
  #heldBefore: string | undefined;
  #hasChanged = false;
  #lastWriteAt: number | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#clock = options.ticker.clock;
    this.#alarm = new Alarm(options.ticker);
    this.#repairs = new RepairLimit(this.#clock);
    this.#retries = new WriteRetries(this.#clock, options.backoff, options.random);
    this.#sight = new FirstSight(this.#clock, options.minted);
    this.#patientLook = new PatientLook(this.sink.name, this.#clock);
    this.#hangs = new HangWatch(options);
  }

  get sink(): Sink {
    return this.#options.sink;
  }

  get isShared(): boolean {
    return this.sink.look !== undefined;
  }

  /** Settles once the sink has held what it should for the first time. */
  get firstWrite(): Promise<void> {
    return this.#firstWrite.promise;
  }

  /** Ends a back-off, but no wait that a server asked for. If it `isNew`, a file cannot hold it yet, and is written without a look. */
  publish(credential: Credential, { isNew }: { readonly isNew: boolean }): void {
    this.#wanted = credential;
    this.#heldBefore = this.#heldAtLook;
    this.#isNew = isNew;
    this.#retries.endBackoff();
    this.#alarm.ring();
  }

  /** What an earlier process, or another writer, has left here. */
  async recover({ signal }: Cancellable): Promise<Credential | undefined> {
    await this.look({ signal });
    const recovered = await this.sink.recover({ signal });
    this.#recovered.resolve();
    if (recovered === undefined) return undefined;
    const credential = this.#sight.localise(recovered);
    // Readers get it for as long as it stands there, also where a better one cannot be written, or none be minted. Once it has
    // expired it is still ours: whoever looks for another writer then would look in vain.
    if (!this.isShared && !isFromFuture(credential, this.#clock)) this.#held = credential;
    return credential;
  }

  /** What a shared sink holds, asked for before a mint. */
  async look({ signal }: Cancellable): Promise<Credential | undefined> {
    if (this.sink.look === undefined) return undefined;
    await this.sink.look({ signal });
    const held = await this.#inspect({ signal });
    const credential = held.state === 'lacks' ? undefined : held.credential;
    this.#heldAtLook = credential?.fingerprint;
    return credential;
  }

  async run({ signal }: Cancellable): Promise<void> {
    const own: Task[] = [(options) => this.#watch(options), (options) => this.#keep(options)];
    await runAll([...own, (options) => this.#hangs.run(options)], { signal });
  }

  /** What a reader would get now. */
  async status({ signal }: Cancellable): Promise<SinkStatus> {
    const { name, kind } = this.sink;
    const holding = await this.#patientLook.look(() => this.#inspect({ signal }));
    return { name, kind, holding, lastWriteAt: this.#lastWriteAt, failure: this.#retries.failure };
  }

  get #isSettled(): boolean {
    return this.#settledFor?.fingerprint === this.#wanted?.fingerprint;
  }

  async #watch({ signal }: Cancellable): Promise<void> {
    const { credentialName, observer, sink } = this.#options;
    const onChange = (): void => {
      this.#hasChanged = true;
      this.#alarm.ring();
    };
    const onTrouble = (problem: SinkError | undefined): void =>
      observer.sinkWatchChanged(credentialName, sink.name, problem);
    // A file is not ours before it is written: setting up a watch sooner would only hold up the first write.
    if (!this.isShared) await unlessAborted(this.#firstTry.promise, { signal });
    await sink.watch({ onChange, onTrouble }, { signal });
  }

  async #keep({ signal }: Cancellable): Promise<never> {
    // Nothing is written where nobody has looked: what is there may be what is wanted, or better.
    await unlessAborted(this.#recovered.promise, { signal });
    for (;;) {
      this.#hangs.turned();
      await this.#alarm.until(this.#clock.now() + Math.min(INSPECTION_MS, this.#retries.waitMs), { signal });
      // Before the first credential there is nothing to look for in a file; a Secret may hold one that is better.
      if (this.#wanted === undefined && !this.isShared) continue;
      const isDone = this.#isSettled && this.#retries.failure === undefined;
      if (!isDone || (await this.sink.isUntouched?.({ signal })) !== true) await this.#settle({ signal });
    }
  }

  async #holds({ fingerprint }: Credential, { signal }: Cancellable): Promise<boolean> {
    const held = await this.#inspect({ signal });
    return held.state === 'holds' && held.credential.fingerprint === fingerprint;
  }

  async #inspect({ signal }: Cancellable): Promise<Held> {
    const ours = [this.#wanted, this.#tried];
    const known = [...ours, this.#held].filter((credential) => credential !== undefined);
    const inspection = await this.sink.inspect(known, { signal });
    if (inspection.state === 'shared') return { state: 'holds', credential: this.#sight.localise(inspection.found) };
    if (!this.isShared || inspection.state === 'lacks' || ours.includes(inspection.credential)) return inspection;
    // Another writer's, with the local times of an earlier look: this clock may have been set since.
    return { ...inspection, credential: this.#sight.localise(asFound(inspection.credential)) };
  }

  async #settle({ signal }: Cancellable): Promise<void> {
    if (this.#isNew && !this.isShared) return await this.#write(this.#wanted!, this.#held, { signal });
    const inspected = await this.#inspect({ signal });
    const held = inspected.state === 'lacks' ? undefined : inspected.credential;
    if (this.isShared && (await this.#offer(held, { signal }))) return;
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    const isHeld = held?.fingerprint === wanted.fingerprint;
    if (held !== undefined && (isHeld ? inspected.state === 'holds' : this.#mayStay(held, wanted))) {
      // The answer to a write may get lost: whoever was told of its failure waits for the word that all is well.
      const isDone = isHeld && this.#tried === wanted && this.#retries.failures > 0;
      return isDone ? this.#written(wanted, held, this.#isSettled) : this.#settled(wanted, held);
    }
    if (this.#mustWait(inspected)) return this.#retries.postpone();
    if (this.#retries.isTooSoon(this.#hasChanged)) return;
    await this.#write(wanted, held, { signal });
  }

  /** Offers what a shared sink holds to the keeper. True if it is taken: then publish() has rung for another look, which compares. */
  async #offer(held: Credential | undefined, { signal }: Cancellable): Promise<boolean> {
    const left = held === undefined ? await this.sink.recover({ signal }) : undefined;
    const before = this.#wanted;
    // Where somebody has edited a part, the rest may still be better than ours. Our own tells nothing new: we know its age.
    const found = held ?? (left && left.fingerprint !== before?.fingerprint ? this.#sight.localise(left) : undefined);
    if (found !== undefined) this.#options.onFound(found);
    return this.#wanted !== before;
  }

  #mayStay(held: Credential, wanted: Credential): boolean {
    const { refresh, minted } = this.#options;
    const situation = { heldBefore: this.#heldBefore, refresh, isTimeKnown: minted() !== undefined };
    return this.isShared && mayStay(held, wanted, situation, this.#clock);
  }

  #settled(wanted: Credential, held: Credential): void {
    this.#repairs.notNeeded();
    this.#held = held;
    this.#settledFor = wanted;
    this.#retries.succeeded();
    this.#firstTry.resolve();
    this.#firstWrite.resolve();
  }

  async #write(wanted: Credential, held: Credential | undefined, { signal }: Cancellable): Promise<void> {
    const { credentialName, observer, sink } = this.#options;
    const isRepair = this.#isSettled;
    this.#tried = wanted;
    this.#isNew = false;
    this.#hasChanged = false;
    this.#retries.began();
    try {
      await sink.write(wanted, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof SinkError)) throw error;
      observer.sinkFailed(credentialName, sink.name, error, this.#retries.failed(error, held));
      return this.#firstTry.resolve();
    }
    // Another writer of a shared sink may have been faster: what is there is new then, and for the next look to judge.
    if (this.isShared && !(await this.#holds(wanted, { signal }))) {
      this.#repairs.notNeeded();
      return this.#retries.wasOvertaken();
    }
    this.#written(wanted, held, isRepair);
  }

  #written(wanted: Credential, held: Credential | undefined, isRepair: boolean): void {
    const { credentialName, observer, sink } = this.#options;
    const { failures: failuresBefore } = this.#retries;
    this.#lastWriteAt = this.#clock.now();
    this.#heldAtLook = wanted.fingerprint;
    if (isRepair) this.#repairs.repaired({ wasLacking: held === undefined });
    this.#settled(wanted, wanted);
    observer.sinkWritten(credentialName, sink.name, wanted, { isRepair, failuresBefore });
  }

  #mustWait(inspected: Held): boolean {
    const { credentialName, observer, sink } = this.#options;
    const problem = inspected.state === 'lacks' ? inspected.problem : undefined;
    const waitMs = this.#repairs.waitMs(problem, { isRepair: this.#isSettled });
    // A pause until the next look is not worth a word.
    if (waitMs > INSPECTION_MS && this.#repairs.isNews()) {
      observer.sinkRepairsLimited(credentialName, sink.name, this.#clock.now() + waitMs, problem);
    }
    return waitMs > 0;
  }
}
