import { SinkError } from '../../src/credential/errors.ts';
import type { Cancellable } from '../../src/credential/ports.ts';
import { unlessAborted } from '../../src/credential/tasks.ts';
import type { ApiAnswer } from '../../src/kubernetes/answer.ts';
import type { ApiRequest, WatchEvent, WatchHandlers } from '../../src/kubernetes/api-server.ts';
import { fieldManagerOf, type SecretObject, type SecretSpec } from '../../src/sinks/secret-object.ts';
import type { SecretSinkOptions } from '../../src/sinks/secret.ts';
import { fakeApi } from './api-client.ts';
import type { FakeClock } from './fake-clock.ts';

const TIMEOUT_MS = 10_000;
/** As the client has it. */
export const SILENCE_MS = 90_000;
const NEVER: Cancellable = new AbortController();
const EDITOR = 'kubectl-edit';

interface Told {
  readonly at: number;
  readonly event: WatchEvent;
}

interface Watcher {
  readonly told: Told[];
  readonly end: (reason: Error) => void;
  wake: () => void;
}

type Version = SecretObject & { readonly metadata: { readonly resourceVersion: string } };

/** What an API server does with one Secret: versions, owners of keys, watches; everything takes as long as is drawn. */
export class ModelApiServer {
  /** Everything that was ever there; undefined for each deletion, and for each edit by somebody else. */
  readonly history: (Version | undefined)[] = [];
  readonly api: SecretSinkOptions['api'];
  isAway = false;
  patches = 0;
  readonly #spec: SecretSpec;
  readonly #clock: FakeClock;
  readonly #delayMs: () => number;
  readonly #watchers = new Set<Watcher>();
  #object: Version | undefined;
  #version = 100;
  /** Keys that somebody else has edited since they were applied. */
  #edited = new Set<string>();

  constructor(spec: SecretSpec, clock: FakeClock, delayMs: () => number) {
    this.#spec = spec;
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.api = fakeApi({
      request: async (request) => await this.#answer(request),
      watch: async (_path, _query, handlers, options) => await this.#watch(handlers, options),
    });
  }

  get object(): SecretObject | undefined {
    return this.#object;
  }

  edit(key: string): void {
    if (this.#object === undefined) return;
    this.#edited.add(key);
    this.history.push(undefined);
    this.#change({ ...this.#object, data: { ...this.#object.data, [key]: 'ZWRpdGVk' } });
  }

  delete(): void {
    const object = this.#object;
    if (object === undefined) return;
    this.#object = undefined;
    this.#edited = new Set();
    this.history.push(undefined);
    this.#tell('DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: `${(this.#version += 1)}` } });
  }

  /** As the server does after some minutes, or as a connection does that is lost. */
  endWatches({ isLost }: { readonly isLost: boolean }): void {
    const reason = isLost ? new SinkError('unreachable', 'nobody answers any more') : ENDED;
    for (const { end } of this.#watchers) end(reason);
  }

  /** Connections that die without a word; the client gives them up after a while. */
  silenceWatches(): void {
    const reason = new SinkError('unreachable', 'no data received for too long');
    for (const watcher of this.#watchers) {
      this.#watchers.delete(watcher);
      void this.#clock.sleep(SILENCE_MS, NEVER).then(() => watcher.end(reason));
    }
  }

  async #answer({ method, body, query = {}, signal, timeoutMs = TIMEOUT_MS }: ApiRequest): Promise<ApiAnswer> {
    const [thereMs, backMs] = [this.#delayMs(), this.#delayMs()];
    if (this.isAway || thereMs > timeoutMs) throw await this.#unreachable(thereMs, { signal });
    await this.#clock.sleep(thereMs, { signal });
    const answer = method === 'GET' ? this.#get() : this.#apply(body as SecretObject, query['force'] === 'true');
    // What was done is done, also where nobody learns of it.
    if (this.isAway || thereMs + backMs > timeoutMs) throw await this.#unreachable(backMs, { signal });
    await this.#clock.sleep(backMs, { signal });
    return { retryAfterMs: 0, ...answer };
  }

  async #unreachable(ms: number, options: Cancellable): Promise<SinkError> {
    await this.#clock.sleep(ms, options);
    return new SinkError('unreachable', 'nobody answers');
  }

  #get() {
    return this.#object === undefined
      ? { status: 404, body: { kind: 'Status', code: 404, details: { name: this.#spec.name } } }
      : { status: 200, body: this.#object };
  }

  #apply({ metadata, data = {}, ...rest }: SecretObject, isForced: boolean) {
    this.patches += 1;
    const present = this.#object;
    const conflict = { kind: 'Status', code: 409 };
    if ((present?.metadata.resourceVersion ?? '1') !== metadata.resourceVersion) return { status: 409, body: conflict };
    const contested = [...this.#edited].filter((key) => key in data && data[key] !== present?.data?.[key]);
    if (contested.length > 0 && !isForced) {
      const causes = contested.map((key) => ({
        reason: 'FieldManagerConflict',
        field: `.data.${key}`,
        message: `conflict with "${EDITOR}"`,
      }));
      return { status: 409, body: { ...conflict, details: { causes } } };
    }
    for (const key of contested) this.#edited.delete(key);
    // What is applied no longer goes, unless it is somebody else's by now.
    const theirs = Object.entries(present?.data ?? {}).filter(([key]) => this.#edited.has(key));
    const all = { ...Object.fromEntries(theirs), ...data };
    const applied = { ...rest, data: all, metadata: { ...present?.metadata, ...metadata } };
    if (JSON.stringify(valuesOf(applied)) === JSON.stringify(valuesOf(present))) return { status: 200, body: present };
    this.#change(applied);
    this.history.push(this.#object);
    return { status: present === undefined ? 201 : 200, body: this.#object };
  }

  #change({ metadata, ...rest }: SecretObject): void {
    const isNew = this.#object === undefined;
    const managedFields = [
      { manager: EDITOR, operation: 'Update' },
      { manager: fieldManagerOf(this.#spec), operation: 'Apply' },
    ].slice(this.#edited.size > 0 ? 0 : 1);
    const named = { ...metadata, name: this.#spec.name, managedFields, resourceVersion: `${(this.#version += 1)}` };
    this.#object = { ...rest, metadata: named };
    this.#tell(isNew ? 'ADDED' : 'MODIFIED', this.#object);
  }

  #tell(type: string, object: SecretObject): void {
    for (const watcher of this.#watchers) this.#pass(watcher, { type, object });
  }

  /** In their order, some of them at once. */
  #pass({ told, wake }: Watcher, event: WatchEvent): void {
    told.push({ at: Math.max(told.at(-1)?.at ?? 0, this.#clock.monotonic() + this.#delayMs()), event });
    wake();
  }

  async #watch({ onOpen, onEvent }: WatchHandlers, { signal }: Cancellable): Promise<undefined> {
    if (this.isAway) throw await this.#unreachable(this.#delayMs(), { signal });
    await this.#clock.sleep(this.#delayMs(), { signal });
    const ending = new AbortController();
    const stop = (): void => ending.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const watcher: Watcher = { told: [], end: (reason) => ending.abort(reason), wake: () => {} };
    this.#watchers.add(watcher);
    onOpen();
    if (this.#object !== undefined) this.#pass(watcher, { type: 'ADDED', object: this.#object });
    try {
      for (;;) {
        const { promise, resolve } = Promise.withResolvers<void>();
        watcher.wake = resolve;
        const [next] = watcher.told;
        if (next === undefined) await unlessAborted(promise, ending);
        else await this.#clock.sleep(next.at - this.#clock.monotonic(), ending);
        while (watcher.told.length > 0 && watcher.told[0]!.at <= this.#clock.monotonic()) {
          onEvent(watcher.told.shift()!.event);
          await Promise.resolve();
        }
      }
    } catch (error) {
      if (error === ENDED) return undefined;
      throw error;
    } finally {
      this.#watchers.delete(watcher);
      signal.removeEventListener('abort', stop);
      ending.abort();
    }
  }
}

const ENDED = new Error('the server has ended this watch');

function valuesOf(object: SecretObject | undefined) {
  return [object?.data, object?.metadata.labels, object?.metadata.annotations, object?.type];
}
