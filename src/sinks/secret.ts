import type { ApiAnswer } from '../kubernetes/answer.ts';
import type { ApiServer, Limits, WatchEvent } from '../kubernetes/api-server.ts';
import { watchForEver } from '../kubernetes/watch.ts';
import { deniedVerbs } from '../kubernetes/access-review.ts';
import {
  type Conflict,
  conflictsIn,
  isNotFound,
  missingRule,
  quotable,
  strangeAnswer,
  type Target,
  toSinkError,
} from '../kubernetes/api-errors.ts';
import { SinkError } from '../credential/errors.ts';
import { labelOf } from '../credential/label.ts';
import type { Cancellable, Clock, Credential, Inspection, Recovered, Sink, SinkListener } from '../credential/ports.ts';
import { confidentialIn } from './confidential.ts';
import { inspectSecret } from './inspect-secret.ts';
import { KnownSecret } from './known-secret.ts';
import { SecretEndpoint } from './secret-endpoint.ts';
import {
  asSecret,
  compare,
  fieldManagerOf,
  isApplier,
  isOfIdentity,
  renderSecret,
  renderTrial,
  salvage,
  type SecretObject,
  type SecretSpec,
  sinceOf,
  wasOurs,
  whyUnfit,
} from './secret-object.ts';

export interface SecretSinkOptions extends SecretSpec {
  readonly api: Pick<ApiServer, 'prepare' | 'request' | 'watch'>;
  readonly clock: Clock;
  /** Takes over fields that other managers own. */
  readonly force: boolean;
}

/** Minting waits for a look no longer than this. */
const LOOK_MS = 2_000;
/** A write that a webhook alters wakes the other writers, whose tries would wake this one: without a pause, for ever. */
const ALTERED_RETRY_MS = 10_000;
/** This machine's clock is taken to be no further behind the service's. */
const MOST_AHEAD_MS = 3_600_000;

/** One Kubernetes Secret, which other writers of the same credential may write, too. */
export class SecretSink implements Sink {
  readonly kind = 'secret';
  readonly name: string;
  readonly #options: SecretSinkOptions;
  readonly #target: Target;
  readonly #endpoint: SecretEndpoint;
  readonly #known: KnownSecret;
  /** When our identity began to write, by the service's clock, as far as this process and what it has seen can tell. */
  #since: number | undefined;
  #applied: readonly string[] = [];

  constructor(options: SecretSinkOptions) {
    const { namespace, name } = options;
    this.name = labelOf({ kind: this.kind, namespace, name });
    this.#options = options;
    this.#target = { resource: 'secrets', namespace, name };
    this.#endpoint = new SecretEndpoint(options.api, options);
    this.#known = new KnownSecret(name, new SinkError('unreachable', `${this.name} has not been checked yet`));
  }

  /** Nothing about the Secret itself: trouble with it must not hold back an application that reads files. */
  async prepare({ signal }: Cancellable): Promise<void> {
    await this.#options.api.prepare({ signal });
  }

  async examine({ signal }: Cancellable): Promise<string> {
    const { api, force } = this.#options;
    await api.prepare({ signal });
    const denied = await deniedVerbs(api, this.#target, { signal });
    if (denied.some((verb) => verb !== 'create')) throw missingRule(denied, this.#target);
    await this.#get({ signal });
    this.#refuseUnfit();
    const present = this.#known.object;
    if (present === undefined && denied.length > 0) throw missingRule(denied, this.#target);
    const answer = await this.#endpoint.apply(renderTrial(this.#options), { force, isTrial: true, present, signal });
    const conflicts = conflictsIn(answer);
    if (conflicts.length > 0) this.#refuseForeign(conflicts);
    else if (answer.status >= 300) throw this.#explain(answer);
    if (present === undefined) return 'does not exist yet and can be created';
    return `can be written${denied.length > 0 ? ', but not created again if it is deleted: the role lacks the verb create' : ''}`;
  }

  async look({ signal }: Cancellable): Promise<void> {
    await this.#hasLooked({ signal, timeoutMs: LOOK_MS });
  }

  async recover({ signal }: Cancellable): Promise<Recovered | undefined> {
    signal.throwIfAborted();
    const { object } = this.#known;
    return object && salvage(object, this.#options);
  }

  async write(credential: Credential, { signal }: Cancellable): Promise<void> {
    // Never blindly: what is there may be another writer's, and better.
    if (this.#known.problem !== undefined) return await this.#get({ signal });
    this.#refuseUnfit();
    const refusal = await this.#apply(credential, this.#options.force, { signal });
    if (refusal === undefined) return;
    // What was ours before somebody changed it is taken back; a manager that applies the same field keeps it.
    this.#refuseForeign(conflictsIn(refusal));
    const again = await this.#apply(credential, true, { signal });
    if (again !== undefined) throw this.#explain(again);
  }

  async inspect(known: readonly Credential[], { signal }: Cancellable): Promise<Inspection> {
    signal.throwIfAborted();
    this.#since ??= known[0]?.service.issuedAt; // our first credential, where no other writer has told
    return inspectSecret(this.name, this.#known, known, this.#options, this.#since);
  }

  async watch({ onChange, onTrouble }: SinkListener, { signal }: Cancellable): Promise<void> {
    const { api, clock } = this.#options;
    const catchUp = async (): Promise<void> => {
      if (await this.#hasLooked({ signal })) onChange();
    };
    const take = (event: WatchEvent): void => {
      if (!this.#known.take(event)) return;
      this.#learnSince();
      onChange();
    };
    const explain = (answer: ApiAnswer): SinkError => this.#explain(answer, 'watch');
    await watchForEver(api, this.#endpoint.collection, { catchUp, take, explain, onTrouble }, { signal, clock });
  }

  /** Returns the answer only where it says that keys belong to other managers. */
  async #apply(credential: Credential, force: boolean, { signal }: Cancellable): Promise<ApiAnswer | undefined> {
    const present = this.#known.object;
    const body = renderSecret(credential, this.#options, present, this.#since);
    this.#applied = [credential.token.reveal(), ...Object.values(body.data)];
    const answer = await this.#endpoint.apply(body, { force, present, signal });
    if (answer.status < 300) {
      this.#learnApplied(answer, credential);
      return undefined;
    }
    if (answer.status !== 409) throw this.#explain(answer);
    await this.#get({ signal });
    // Somebody was faster, with conflicts too: perhaps a writer whose token is better, which is for the next look to tell.
    if (present?.metadata.resourceVersion !== this.#known.object?.metadata.resourceVersion) return undefined;
    if (conflictsIn(answer).length > 0) return answer;
    throw this.#explain(answer);
  }

  /** From other writers of our identity; after a roll-back theirs is a later beginning. */
  #learnSince(): void {
    const { object } = this.#known;
    const since = object && isOfIdentity(object, this.#options) ? sinceOf(object, this.#options) : undefined;
    // One in the future is forged. If it were remembered, every later identity would seem to be older than ours.
    if (since === undefined || since > this.#options.clock.now() + MOST_AHEAD_MS) return;
    this.#since = Math.max(since, this.#since ?? since);
  }

  /** @throws SinkError where what others own was never ours, or is meant to stay theirs */
  #refuseForeign(conflicts: readonly Conflict[]): void {
    const object = this.#known.object;
    const isOurs =
      object !== undefined &&
      conflicts.every(
        ({ field, manager }) =>
          wasOurs(field, object, this.#options) && (!isApplier(manager, object) || isRenamed(manager, this.#options)),
      );
    if (isOurs) return;
    const owners = conflicts.map(({ field, manager }) => `${field} belongs to the field manager "${manager}"`);
    throw new SinkError('conflict', `cannot apply ${this.name}: ${quotable(owners.join(', '), this.#confidential)}`);
  }

  /** @throws SinkError for what no apply can ever change */
  #refuseUnfit(): void {
    const reason = this.#known.object && whyUnfit(this.#known.object, this.#options);
    if (reason === undefined) return;
    throw new SinkError('refused', `${this.name} ${reason}`, {
      remedy: 'delete the Secret, so that the sidecar creates it again, or configure another one',
    });
  }

  /** False where that failed: what was known before stays, and whoever writes next tries again and tells of it. */
  async #hasLooked(limits: Limits): Promise<boolean> {
    try {
      await this.#get(limits);
      return true;
    } catch (error) {
      limits.signal.throwIfAborted();
      if (!(error instanceof SinkError)) throw error;
      return false;
    }
  }

  async #get(limits: Limits): Promise<void> {
    const before = this.#known.news;
    try {
      const answer = await this.#endpoint.get(limits);
      if (answer.status !== 200 && !isNotFound(answer)) throw this.#explain(answer, 'get');
      if (this.#known.news !== before) return;
      if (answer.status === 200) this.#learn(answer);
      else this.#known.absent();
    } catch (error) {
      // Whoever asks what the Secret holds before that is known gets this as the reason.
      if (error instanceof SinkError) this.#known.stillUnknown(error);
      throw error;
    }
  }

  #learn(answer: ApiAnswer): SecretObject {
    const object = asSecret(answer.body, this.#options.name);
    if (object === undefined) throw strangeAnswer(answer, 'Secret');
    this.#known.present(object);
    this.#learnSince();
    return object;
  }

  /** @throws SinkError where the Secret is not what was applied: a webhook may change anything on its way */
  #learnApplied(answer: ApiAnswer, credential: Credential): void {
    if (this.#known.isAheadOf(asSecret(answer.body, this.#options.name))) return;
    const applied = this.#learn(answer);
    if (compare(applied, credential, this.#options) === 'same') return;
    throw new SinkError('conflict', `${this.name} was applied, but something in the cluster changed it`, {
      remedy: 'find the mutating webhook or policy that changes Secrets, and exclude this Secret from it',
      retryAfterMs: ALTERED_RETRY_MS,
    });
  }

  #explain(answer: ApiAnswer, verb = 'patch'): SinkError {
    return toSinkError(verb, this.#target, answer, this.#confidential);
  }

  /** What no error may quote: the token that was applied last, what it was rendered to, and what stands there. */
  get #confidential(): string[] {
    return [...this.#applied, ...confidentialIn(this.#known.object, this.#options)];
  }
}

/** This program under another name of the same credential, which was renamed since, or is renamed by a roll-out that goes on. */
function isRenamed(manager: string, spec: SecretSpec): boolean {
  return manager.startsWith(fieldManagerOf({ ...spec, credentialName: '' }));
}
