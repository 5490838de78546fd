import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createServer, type ServerOptions } from '../../src/http/server.ts';
import { PAGE_SECURITY_POLICY } from '../../src/http/status-page-assets.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { CANARY, credentialWith, frozenClock, holding, lacking, statusWith } from '../support/statuses.ts';

const SCRAPE =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1';
/** Of a Prometheus that takes native histograms, which only this format has. */
const PROTOBUF_FIRST =
  'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';
const PATHS = ['/healthz', '/readyz', '/metrics', '/status'];

function serverWith(overrides: Partial<ServerOptions> = {}) {
  const metrics = createMetrics(frozenClock);
  return createServer({
    clock: frozenClock,
    version: '1.2.3',
    liveness: () => [{ name: 'scheduler', isOk: true, reason: 'last ran 0 s ago' }],
    statuses: async () => await Promise.resolve([statusWith()]),
    renderMetrics: async (format, statuses) => await metrics.render(format, statuses),
    log: { error: (fields) => assert.fail(JSON.stringify(fields)) },
    ...overrides,
  });
}

describe('the formats of an answer', () => {
  const rows = [
    ['/metrics', undefined, 'text/plain; version=0.0.4; charset=utf-8'],
    ['/metrics', '*/*', 'text/plain; version=0.0.4; charset=utf-8'],
    ['/metrics', SCRAPE, 'application/openmetrics-text; version=1.0.0; charset=utf-8'],
    ['/metrics', 'application/openmetrics-text;q=0.2,text/plain;q=0.5', 'text/plain; version=0.0.4; charset=utf-8'],
    // An older Prometheus.
    [
      '/metrics',
      'application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
    ],
    ['/metrics', 'application/openmetrics-text;version=2.0.0', 'text/plain; version=0.0.4; charset=utf-8'],
    ['/metrics', 'Application/OpenMetrics-Text ; Version=2.0.0', 'text/plain; version=0.0.4; charset=utf-8'],
    ['/metrics', PROTOBUF_FIRST, 'application/openmetrics-text; version=1.0.0; charset=utf-8'],
    [
      '/metrics',
      'text/plain, application/openmetrics-text',
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
    ],
    ['/metrics', 'application/openmetrics-text;q=0', 'text/plain; version=0.0.4; charset=utf-8'],
    ['/status', undefined, 'application/json; charset=utf-8'],
    ['/status', '*/*', 'application/json; charset=utf-8'],
    ['/status', BROWSER, 'text/html; charset=utf-8'],
    ['/status', 'text/*', 'text/html; charset=utf-8'],
    ['/status', 'application/json, text/html;q=0.9', 'application/json; charset=utf-8'],
    ['/status', 'application/json;q=1, text/html', 'application/json; charset=utf-8'],
    ['/status', 'application/json ; Q=0.5, Text/HTML', 'text/html; charset=utf-8'],
    ['/status', 'application/json;q=0.5, */*', 'text/html; charset=utf-8'],
    ['/status', 'image/png', 'application/json; charset=utf-8'],
  ] as const;
  for (const [url, accept, contentType] of rows) {
    test(`${url} for ${accept ?? 'no Accept'} is ${contentType}`, async () => {
      const response = await serverWith().inject({ url, headers: accept === undefined ? {} : { accept } });
      assert.equal(response.statusCode, 200);
      assert.equal(response.headers['content-type'], contentType);
      assert.equal(response.headers['vary'], 'accept');
      assert.equal(response.headers['cache-control'], 'no-store');
      assert.equal(response.headers['x-content-type-options'], 'nosniff');
    });
  }

  test('the page stands in no frame, runs only what is its own, and tells no other site where it was', async () => {
    const { headers } = await serverWith().inject({ url: '/status', headers: { accept: 'text/html' } });
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['content-security-policy'], PAGE_SECURITY_POLICY);
    assert.equal(headers['referrer-policy'], 'no-referrer');
  });
});

describe('what is not served', () => {
  test('unknown paths get a list of the paths', async () => {
    const response = await serverWith().inject('/<script>alert(1)</script>');
    assert.equal(response.statusCode, 404);
    assert.equal(response.body, 'not found; the paths are /healthz, /readyz, /metrics, /status\n');
  });

  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'] as const) {
    test(`${method} is not allowed`, async () => {
      const payload = { method, url: '/status', headers: { 'content-type': 'text/x-any' }, payload: '{"a":' };
      const response = await serverWith().inject(payload as never);
      assert.equal(response.statusCode, 405);
      assert.equal(response.headers['allow'], 'GET, HEAD');
      assert.equal(response.headers['content-type'], 'text/plain; charset=utf-8');
    });
  }

  test('malformed percent-encoding is refused without an echo', async () => {
    const response = await serverWith().inject('/%zz<b>');
    assert.equal(response.statusCode, 400);
    assert.equal(response.body, 'the URL is malformed\n');
    assert.equal(response.headers['content-type'], 'text/plain; charset=utf-8');
  });

  test('a large or malformed body changes nothing about that', async () => {
    const headers = { 'content-type': 'application/json' };
    const payload = `{"__proto__": ${'x'.repeat(2_000_000)}`;
    const response = await serverWith().inject({ method: 'POST', url: '/healthz', headers, payload });
    assert.equal(response.statusCode, 405);
  });

  test('a content type that is none is refused in a few words', async () => {
    const headers = { 'content-type': '<b>' };
    const response = await serverWith().inject({ method: 'POST', url: '/healthz', headers, payload: 'x' });
    assert.deepEqual([response.statusCode, response.body], [415, 'unsupported media type\n']);
  });
});

describe('every path', () => {
  for (const url of PATHS) {
    test(`${url} answers HEAD as GET, without a body`, async () => {
      const [get, head] = [await serverWith().inject(url), await serverWith().inject({ method: 'HEAD', url })];
      assert.equal(head.statusCode, get.statusCode);
      assert.equal(head.headers['content-type'], get.headers['content-type']);
      assert.equal(head.body, '');
    });
  }

  for (const url of PATHS.slice(1)) {
    test(`${url} gives up when the sinks cannot be looked at in time`, { timeout: 5_000 }, async (t) => {
      const { promise: never } = Promise.withResolvers<never>();
      let inspection: AbortSignal | undefined;
      const server = serverWith({
        deadlineMs: 20,
        statuses: async ({ signal }) => {
          inspection = signal;
          return await never;
        },
      });
      t.after(async () => await server.close());
      const response = await server.inject(url);
      assert.equal(response.statusCode, 503);
      assert.equal(response.body, 'timed out: the sinks could not be checked within 0.02 s\n');
      assert.equal(inspection?.aborted, true);
    });

    test(`${url} hides what a bug threw, and logs it`, async () => {
      const bug = new TypeError(`cannot read ${CANARY}`);
      const logged: object[] = [];
      const response = await serverWith({
        statuses: async () => await Promise.reject(bug),
        log: { error: (fields) => void logged.push(fields) },
      }).inject(url);
      assert.equal(response.statusCode, 500);
      assert.equal(response.body, 'internal error; see the log of the sidecar\n');
      assert.deepEqual(logged, [{ err: bug, path: url }]);
    });
  }

  test('/metrics is rendered once for all who ask while that is done, and once more for who comes then', async () => {
    let times = 0;
    const renderMetrics = async () => {
      times += 1;
      return await Promise.resolve({ contentType: 'text/plain', body: `${times}\n` });
    };
    const server = serverWith({ renderMetrics });
    const answers = await Promise.all(Array.from({ length: 50 }, () => server.inject('/metrics')));
    assert.ok(answers.every(({ statusCode }) => statusCode === 200));
    const before = times;
    assert.ok(before <= 2, `${before} times`);
    assert.equal((await server.inject('/metrics')).body, `${before + 1}\n`);
  });

  for (const url of [...PATHS.map((path) => `${path}?`), '/healthz?verbose', '/readyz?verbose']) {
    for (const accept of ['*/*', BROWSER, SCRAPE]) {
      test(`${url} never shows a token to ${accept.slice(0, 30)}`, async () => {
        const current = credentialWith();
        const sinks = [holding(current), lacking('foreign_content', 'others wrote it', 'secret:a/b')];
        const statuses = [
          statusWith({ current, sinks }),
          statusWith({ name: 'other', current: credentialWith({ leftMs: -1 }) }),
        ];
        const server = serverWith({ statuses: async () => await Promise.resolve(statuses) });
        const response = await server.inject({ url, headers: { accept } });
        assert.ok(response.body.length > 0);
        assert.doesNotMatch(response.body + JSON.stringify(response.headers), new RegExp(CANARY));
      });
    }
  }
});
