import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { SinkError } from '../../src/credential/errors.ts';
import type { ApiServer } from '../../src/kubernetes/api-server.ts';
import { deniedVerbs } from '../../src/kubernetes/access-review.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { SecretSink } from '../../src/sinks/secret.ts';
import { renderSecret, type SecretSpec } from '../../src/sinks/secret-object.ts';
import { credentialOf, secretSpec } from '../support/sink-credentials.ts';
import { clientFor } from '../support/api-client.ts';
import { damaged, everythingOf, jwt, printableToken, property } from '../support/fuzz.ts';

const SPEC: SecretSpec = {
  ...secretSpec,
  namespace: 'backstage',
  name: 'backstage-lakebase',
  data: { password: 'token', pgpass: 'pgpass' },
};

interface Scripted {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The connection is cut in the middle. */
  readonly isCut: boolean;
}

let api: ApiServer;
/** One after the other, and the last one again and again. */
let script: Scripted[] = [];

async function before(t: TestContext): Promise<void> {
  const server = createServer((request, response) => {
    request.resume();
    answer(response, script.length > 1 ? script.shift()! : script[0]!);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  ({ api } = await clientFor(t, server));
  await api.prepare(t);
}

function answer(response: ServerResponse, { status, headers, body, isCut }: Scripted): void {
  response.writeHead(status, headers);
  if (!isCut) return void response.end(body);
  response.write(body.slice(0, body.length / 2) || ' ');
  response.socket?.end();
}

const token = fc.oneof(jwt, printableToken);
const text = fc.string({ unit: 'grapheme', maxLength: 20 });
/** What stands where an object of Kubernetes has another kind of value. */
const odd = fc.oneof(fc.constantFrom(null, 0, true, '', 'a', [], [null], {}), fc.jsonValue({ maxDepth: 1 }));

function secretWith(token: string): object {
  const rendered = renderSecret(credentialOf(0, token), SPEC, undefined);
  return {
    ...rendered,
    metadata: {
      ...rendered.metadata,
      uid: 'u',
      resourceVersion: '7',
      managedFields: [{ manager: 'a', operation: 'Apply' }],
    },
  };
}

const statusObject = fc.record(
  {
    kind: fc.constant('Status'),
    message: fc.oneof(
      text,
      fc.constantFrom('User "a" cannot patch resource "secrets"', 'secrets "a" is forbidden'),
      odd,
    ),
    reason: fc.oneof(text, odd),
    details: fc.oneof(
      odd,
      fc.record({
        causes: fc.oneof(
          odd,
          fc.array(
            fc.oneof(
              odd,
              fc.record(
                {
                  reason: fc.constantFrom('FieldManagerConflict', 'NamespaceTerminating', 'x'),
                  message: fc.oneof(text, fc.constant('conflict with "kubectl"'), odd),
                  field: fc.oneof(fc.constantFrom('.data.password', '.type'), odd),
                },
                { requiredKeys: [] },
              ),
            ),
          ),
        ),
      }),
    ),
  },
  { requiredKeys: [] },
);

/** An object with something odd in one of its places. */
function spoilt(object: object, choice: number, value: unknown): object {
  const copy = structuredClone(object) as Record<string, unknown>;
  const places: [Record<string, unknown>, string][] = [];
  const walk = (at: Record<string, unknown>): void => {
    for (const key of Object.keys(at)) {
      places.push([at, key]);
      if (typeof at[key] === 'object' && at[key] !== null) walk(at[key] as Record<string, unknown>);
    }
  };
  walk(copy);
  const [at, key] = places[choice % places.length]!;
  if (value === undefined) delete at[key];
  else at[key] = value;
  return copy;
}

const object = fc.oneof(
  token.map(secretWith),
  fc
    .tuple(token, fc.nat(), fc.option(odd, { nil: undefined }))
    .map(([token, choice, value]) => spoilt(secretWith(token), choice, value)),
  statusObject,
  odd,
);
const json = object.map((value) => JSON.stringify(value));
const body = fc.oneof(
  { weight: 4, arbitrary: json },
  damaged(json),
  fc.constantFrom('', '<html>', 'null'),
  fc.string({ unit: 'binary' }),
);
const headers = fc.record(
  {
    'retry-after': fc.oneof(
      fc.constantFrom('1', '0', '-1', 'Wed, 21 Oct 2030 07:28:00 GMT', '1e9', 'NaN'),
      fc.stringMatching(/^[!-~]{1,10}$/),
    ),
  },
  { requiredKeys: [] },
);
const scripted = fc.record({
  status: fc.oneof(
    { weight: 3, arbitrary: fc.constant(200) },
    fc.constantFrom(201, 204, 301, 400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 503, 504),
  ),
  headers,
  body,
  isCut: fc.integer({ min: 0, max: 19 }).map((dice) => dice === 0),
});

/** What a sink may throw, and nothing of the token. */
async function attempt(act: () => Promise<unknown>, token: string): Promise<void> {
  try {
    await act();
  } catch (error) {
    assert.ok(error instanceof SinkError, everythingOf(error));
    assertQuiet(error, token);
  }
}

function assertQuiet(error: SinkError, token: string): void {
  const said = everythingOf(error);
  for (const secret of [token, Buffer.from(token).toString('base64')]) assert.ok(!said.includes(secret), said);
  assert.ok(error.message.length < 1_200, error.message);
}

property(
  'whatever an API server answers, a Secret is held, lacked or refused with a reason, and the token shows nowhere',
  fc.tuple(token, fc.array(scripted, { minLength: 1, maxLength: 5 }), fc.boolean(), fc.nat()),
  async ([token, answers, force, echo]) => {
    const credential = credentialOf(1, token);
    // A webhook may say the object that it refuses.
    script = answers.map((one, index) =>
      index === echo % answers.length && one.status >= 400
        ? { ...one, body: JSON.stringify({ message: `refused: ${JSON.stringify(secretWith(token))}` }) }
        : one,
    );
    const sink = new SecretSink({ ...SPEC, api, clock, force });
    const { signal } = new AbortController();
    await attempt(() => sink.look({ signal }), token);
    await attempt(() => sink.recover({ signal }), token);
    const acts = [() => sink.write(credential, { signal }), () => sink.examine({ signal })];
    for (const act of [...acts, ...acts]) {
      await attempt(act, token);
      const inspected = await sink.inspect([credential], { signal });
      if (inspected.state === 'lacks') assertQuiet(inspected.problem, token);
    }
    await attempt(() => deniedVerbs(api, { resource: 'secrets', namespace: 'a', name: 'b' }, { signal }), token);
  },
  { before, costs: 40 },
);

const event = fc.oneof(
  fc
    .record({ type: fc.constantFrom('ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'), object })
    .map((value) => JSON.stringify(value)),
  body,
);

property(
  'whatever a watch tells, it goes on, and nothing that it tells of is a crash or shows the token',
  fc.tuple(token, fc.array(event, { minLength: 1, maxLength: 5 }), scripted),
  async ([token, events, after]) => {
    const credential = credentialOf(1, token);
    script = [{ status: 200, headers: {}, body: events.map((line) => `${line}\n`).join(''), isCut: false }, after];
    const stop = new AbortController();
    const hasPaused = Promise.withResolvers<void>();
    // Instead of the pause before the next watch, which is the end of this one.
    const pausing = {
      ...clock,
      sleep: async () => await Promise.resolve(hasPaused.resolve()).then(() => stop.abort()),
    };
    const sink = new SecretSink({ ...SPEC, api, clock: pausing, force: false });
    const troubles: SinkError[] = [];
    const listener = {
      onChange: () => {},
      onTrouble: (problem: SinkError | undefined) => problem && troubles.push(problem),
    };
    await assert.rejects(sink.watch(listener, stop), (error) => error === stop.signal.reason);
    await hasPaused.promise;
    for (const problem of troubles) assertQuiet(problem, token);
    const inspected = await sink.inspect([credential], { signal: new AbortController().signal });
    if (inspected.state === 'lacks') assertQuiet(inspected.problem, token);
  },
  { before, costs: 20 },
);
