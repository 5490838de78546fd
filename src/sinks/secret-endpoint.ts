import type { Cancellable } from '../credential/ports.ts';
import type { ApiAnswer } from '../kubernetes/answer.ts';
import type { ApiServer, Limits, Query } from '../kubernetes/api-server.ts';
import { fieldManagerOf, type SecretObject, type SecretSpec } from './secret-object.ts';

const APPLY = 'application/apply-patch+yaml';
/** A `resourceVersion` that no object has: an apply with it can create a Secret, but not change one that is there by now. */
const NO_OBJECT_YET = '1';

interface Applying extends Cancellable {
  /** What is known to be there: an apply changes nothing that has changed since. A trial changes nothing at all. */
  readonly present: SecretObject | undefined;
  /** Takes over fields that other managers own. */
  readonly force: boolean;
  readonly isTrial?: boolean;
}

/** What can be asked of the API server about one Secret. */
export class SecretEndpoint {
  /** For a watch. */
  readonly collection: { readonly path: string; readonly query: Query };
  readonly #api: Pick<ApiServer, 'request'>;
  readonly #path: string;
  readonly #fieldManager: string;

  constructor(api: Pick<ApiServer, 'request'>, spec: SecretSpec) {
    const { name, namespace } = spec;
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    this.collection = { path, query: { fieldSelector: `metadata.name=${name}` } };
    this.#api = api;
    this.#path = `${path}/${name}`;
    this.#fieldManager = fieldManagerOf(spec);
  }

  async get(limits: Limits): Promise<ApiAnswer> {
    return await this.#api.request({ method: 'GET', path: this.#path, ...limits });
  }

  async apply(
    body: { readonly metadata: object },
    { force, isTrial = false, present, signal }: Applying,
  ): Promise<ApiAnswer> {
    const resourceVersion = present?.metadata.resourceVersion ?? NO_OBJECT_YET;
    return await this.#api.request({
      method: 'PATCH',
      path: this.#path,
      query: { fieldManager: this.#fieldManager, force: `${force}`, ...(isTrial && { dryRun: 'All' }) },
      contentType: APPLY,
      body: { ...body, metadata: { ...body.metadata, ...(!isTrial && { resourceVersion }) } },
      signal,
    });
  }
}
