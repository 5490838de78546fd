import { recordOf } from '../credential/json.ts';
import type { Cancellable } from '../credential/ports.ts';
import { strangeAnswer, type Target, toSinkError } from './api-errors.ts';
import type { ApiServer } from './api-server.ts';

/** What keeping one Secret takes; `create` only makes one that is not there. */
const VERBS = ['get', 'watch', 'patch', 'create'] as const;

/** Asks the API server which of them this process lacks. @throws SinkError */
export async function deniedVerbs(
  api: Pick<ApiServer, 'request'>,
  target: Target,
  { signal }: Cancellable,
): Promise<string[]> {
  const isAllowed = await Promise.all(VERBS.map(async (verb) => await may(api, verb, target, { signal })));
  return VERBS.filter((_, index) => !isAllowed[index]);
}

async function may(
  api: Pick<ApiServer, 'request'>,
  verb: string,
  target: Target,
  { signal }: Cancellable,
): Promise<boolean> {
  const { namespace, resource, name } = target;
  const answer = await api.request({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { namespace, verb, resource, name } },
    },
    signal,
  });
  if (answer.status >= 300) throw toSinkError('review the access to', target, answer);
  const { allowed } = recordOf(recordOf(answer.body)['status']);
  if (typeof allowed === 'boolean') return allowed;
  throw strangeAnswer(answer, 'SelfSubjectAccessReview');
}
