import type { SinkError } from '../credential/errors.ts';
import type { WatchEvent } from '../kubernetes/api-server.ts';
import { asSecret, type SecretObject, versionOf } from './secret-object.ts';

/** The latest that answers and watch events have told of one Secret; either may arrive before the other. */
export class KnownSecret {
  readonly #name: string;
  #object: SecretObject | undefined;
  #problem: SinkError | undefined;
  #news = 0;
  /** `resourceVersion` of the latest, also if that was deleted; NaN before the first. */
  #version = Number.NaN;

  constructor(name: string, problem: SinkError) {
    this.#name = name;
    this.#problem = problem;
  }

  /** Undefined if there is none, or nothing is known yet. */
  get object(): SecretObject | undefined {
    return this.#object;
  }

  /** Why nothing is known yet. */
  get problem(): SinkError | undefined {
    return this.#problem;
  }

  /** How often something was told. An answer is outdated if this has changed since it was asked for. */
  get news(): number {
    return this.#news;
  }

  stillUnknown(problem: SinkError): void {
    if (this.#problem !== undefined) this.#problem = problem;
  }

  present(object: SecretObject): void {
    this.#version = versionOf(object);
    this.#tell(object);
  }

  absent(): void {
    this.#tell(undefined);
  }

  /** Whether that is news: the answer to an apply may be faster than the events before it. */
  take({ type, object }: WatchEvent): boolean {
    if (type === 'BOOKMARK') return false;
    const told = asSecret(object, this.#name);
    if (told === undefined || versionOf(told) <= this.#version) return false;
    this.present(told);
    if (type === 'DELETED') this.absent();
    return true;
  }

  /** Whether events have told of a later version than this answer to an apply: somebody has changed or deleted it since. */
  isAheadOf(applied: SecretObject | undefined): boolean {
    return versionOf(applied) < this.#version;
  }

  #tell(object: SecretObject | undefined): void {
    this.#news += 1;
    this.#object = object;
    this.#problem = undefined;
  }
}
