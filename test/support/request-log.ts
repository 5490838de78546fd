export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly contentType: string | undefined;
  readonly userAgent: string | undefined;
  readonly workspaceId: string | undefined;
  readonly body: string;
}

interface Waiter {
  readonly path: string;
  readonly resolve: (request: RecordedRequest) => void;
}

export class RequestLog {
  readonly requests: RecordedRequest[] = [];
  #waiters: Waiter[] = [];

  add(request: RecordedRequest): void {
    this.requests.push(request);
    for (const { path, resolve } of this.#waiters) if (request.path.startsWith(path)) resolve(request);
    this.#waiters = this.#waiters.filter(({ path }) => !request.path.startsWith(path));
  }

  /** The next request whose path begins like this. */
  next(path: string): Promise<RecordedRequest> {
    const { promise, resolve } = Promise.withResolvers<RecordedRequest>();
    this.#waiters.push({ path, resolve });
    return promise;
  }
}
